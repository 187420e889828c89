"""Executes one notebook by papermill with settings for the kernel, which papermill's own command cannot set.

python -m recsys.reports.kernel ARGUMENTS SETTINGS, the arguments of papermill.execute_notebook and the settings of the
kernel manager as JSON objects. What the cells print is logged.
"""

import json
import logging
import sys

import papermill
from traitlets.config import Config

if __name__ == "__main__":
    arguments, settings = map(json.loads, sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    papermill.execute_notebook(**arguments, config=Config(KernelManager=settings))
