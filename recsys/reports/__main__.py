"""`python -m recsys.reports`: run the notebooks into a dated report."""

import sys

from recsys.reports.runner import main

if __name__ == "__main__":
    sys.exit(main())
