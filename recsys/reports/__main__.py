"""`python -m recsys.reports`: runs the notebooks and writes a dated report."""

import sys

from recsys.reports.runner import main

if __name__ == "__main__":
    sys.exit(main())
