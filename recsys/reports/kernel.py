"""Executes one notebook by papermill with settings for the kernel, which papermill's own command cannot set.

python -m recsys.reports.kernel ARGUMENTS SETTINGS, the arguments of papermill.execute_notebook and the settings of the
kernel manager as JSON objects. What the cells print is logged. If the process at the other end of standard input ends,
this one and the kernel end at once.
"""

import json
import logging
import os
import signal
import sys
import threading

import psutil
from traitlets.config import Config

from recsys.reports.surroundings import skip_slow_imports


def end_with_the_runner() -> None:
    """Wait until standard input is closed, then kill the kernel and this process."""
    os.read(0, 1)  # not sys.stdin, whose lock would stop the end of Python
    for each in psutil.Process().children(recursive=True):
        each.kill()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    skip_slow_imports()
    import papermill

    threading.Thread(target=end_with_the_runner, daemon=True).start()
    arguments, settings = map(json.loads, sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    papermill.execute_notebook(**arguments, config=Config(KernelManager=settings))
