"""Runs one notebook by papermill with a kernel of given settings, which papermill's own command does not take.

python -m recsys.reports.kernel SOURCE TARGET ARGUMENTS SETTINGS
"""

import json
import logging
import sys

import papermill
from traitlets.config import Config


def main(source: str, target: str, arguments: str, settings: str) -> None:
    """Execute `source` into `target`, and log what its cells print.

    Both are JSON objects: `arguments` of papermill.execute_notebook, `settings` of the kernel's manager (traitlets).
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    papermill.execute_notebook(
        source, target, kernel_name="python3", language="python", progress_bar=False, log_output=True,
        config=Config(KernelManager=json.loads(settings)), **json.loads(arguments),
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
