"""Thirty ways to fail in a cell: none becomes a report; the status is not 0, and the cell and the cause are named."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import tiny
from conftest import REPOSITORY

RULE = "no report; exit status not 0; cell and cause are named; no process is left"
HERE = "02_train, cell 2 of 3"
PARENT = "import os, psutil; papermill = psutil.Process(os.getpid()).parent(); runner = papermill.parent()\n"
WAIT = "import time; open('started', 'w').close(); time.sleep(100)"
# the code of a cell → the cause that is named
FAILURES = {
    "raise ValueError('no <song>')": "ValueError: no <song>",
    "1 / 0": "ZeroDivisionError: division by zero",
    "import absent_module": "ModuleNotFoundError: No module named 'absent_module'",
    "x = (": "SyntaxError",
    "import sys; sys.exit(0)": "SystemExit: 0",
    "import sys; sys.exit('bye')": "SystemExit: bye",
    "exit()": "the notebook ended before its last cell",
    "quit()": "the notebook ended before its last cell",
    "import os; os._exit(0)": "the kernel died",
    "import os; os._exit(3)": "the kernel died",
    "import os; os.abort()": "the kernel died",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "the kernel died",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": "the kernel died",
    "import os, signal; os.kill(os.getpid(), signal.SIGHUP)": "the kernel died",
    "import ctypes; ctypes.string_at(0)": "the kernel died",
    "import os, signal; os.kill(os.getpid(), signal.SIGINT)": "KeyboardInterrupt",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "def f(): f()\nf()": "RecursionError",
    "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, -1)); x = bytearray(2**33)": "MemoryError",
    "assert False, 'wrong'": "AssertionError: wrong",
    "while True: pass": "the cell took longer than --timeout",
    "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(100)": "the cell took longer than --timeout",
    "import threading, os, time\nthreading.Timer(0.3, os._exit, (0,)).start(); time.sleep(100)": "the kernel died",
    "raise BaseException('base')": "BaseException: base",
    "import asyncio; raise asyncio.CancelledError('gone')": "CancelledError: gone",
    "class Odd(Exception):\n    def __str__(self): raise RuntimeError('no text')\nraise Odd": "Odd",
    PARENT + "papermill.kill()": "papermill stopped with status -9",
    PARENT + "papermill.terminate()": "papermill stopped with status -15",
    "import os, shutil; shutil.rmtree('reports')": "reports",
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import os; os._exit(7)'], check=True)": "CalledProcessError",
}  # fmt: skip
