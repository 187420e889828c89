"""What a run that did not succeed says on the terminal: whether its error shows a traceback, and what helps."""

import re

from recsys.reports.execution import RunFailed

OF_INPUT = ("DataError", "AuditError", "ValueError")  # errors that data or values of parameters cause
GOES_ON = (  # the same command may succeed later, or once there is more space, memory or time
    "KeyboardInterrupt", "DeadKernelError", "CellTimeoutError", "OSError", "PermissionError", "TimeoutError",
    "ConnectionError", "MemoryError", "ResourceExhaustedError", "IOException", "OutOfMemoryException",
)  # fmt: skip


def is_of_input(error: BaseException) -> bool:
    """Return whether an error says what was expected of the user's data or values, and what arrived.

    Its message is then all that the user needs. The executed notebook has the traceback.
    """
    return _name(error) in OF_INPUT and bool(re.search(r"\bexpected\b.*\bgot\b", str(error.args[0]), re.DOTALL))


def what_helps(error: BaseException, run: str) -> str:
    """Return what to do after a run that ended with this error."""
    again = f"make reports RUN={run}"
    if _name(error) in GOES_ON:
        return f"To continue, type `{again}`. It reuses the finished steps that have not changed."
    if is_of_input(error):
        return (
            "The same command would fail again. Change what the message names: in your files, or by a parameter with "
            f"`{again} NAME=value`, which keeps the other values and reuses the finished steps."
        )
    return f"The same command would probably fail again. Once the cause is mended, `{again}` reuses the finished steps."


def _name(error: BaseException) -> str:
    """Return the name of an error, or of that which ended a notebook."""
    return error.error if isinstance(error, RunFailed) else type(error).__name__
