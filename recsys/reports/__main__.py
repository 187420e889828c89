"""`python -m recsys.reports`: runs the notebooks and writes a dated report."""

import sys

from recsys.reports.surroundings import faults, skip_slow_imports
from recsys.runs import project_root

if __name__ == "__main__":
    if found := faults(project_root()):
        print("Nothing was run.", *found, sep="\n", file=sys.stderr)
        sys.exit(2)
    skip_slow_imports()
    from recsys.reports.runner import main  # needs all packages

    sys.exit(main())
