"""The process of a notebook's kernel: no settings of all users of a machine, and `exit()` in a cell is an error.

It is run by its path. ipykernel's own launcher would let a kernel that is told to exit run a few more cells.
"""

import sys

if __name__ == "__main__":
    del sys.path[0]  # this folder, whose files would hide modules of the same names
    from ipykernel import kernelapp
    from ipykernel.zmqshell import ZMQInteractiveShell
    from IPython.core import application

    def fail(shell: ZMQInteractiveShell) -> None:
        sys.exit("exit() or quit() in a cell")

    application.ENV_CONFIG_DIRS.clear()
    application.SYSTEM_CONFIG_DIRS.clear()
    ZMQInteractiveShell.ask_exit = fail  # type: ignore[method-assign]
    kernelapp.launch_new_instance()
