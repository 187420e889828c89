"""Executes one notebook by papermill with settings for the kernel, which papermill's own command cannot set.

python -m recsys.reports.kernel SOURCE TARGET ARGUMENTS SETTINGS
"""

import json
import logging
import sys

import papermill
from traitlets.config import Config


def main(source: str, target: str, arguments: str, settings: str) -> None:
    """Execute `source`, write the result to `target`, and log what its cells print.

    `arguments` (of papermill.execute_notebook) and `settings` (of the kernel manager) are JSON objects.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    papermill.execute_notebook(
        source, target, kernel_name="python3", language="python", progress_bar=False, log_output=True,
        config=Config(KernelManager=json.loads(settings)), **json.loads(arguments),
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
