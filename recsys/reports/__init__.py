"""From notebooks and results to sentences, tables, figures and pages."""
