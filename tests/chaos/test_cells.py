"""Ways to fail in a cell: none becomes a report; the status is not 0, and the cell and the cause are named."""

import fcntl
import json
import os
import pty
import signal
import termios
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tiny

RULE = "no report; exit status not 0; cell and cause are named; no process is left"
SLOW = "the cell took longer than --timeout"
HERE = "02_train, cell 2 of 3"
PARENT = "import os, psutil; papermill = psutil.Process(os.getpid()).parent(); runner = papermill.parent()\n"
WAIT = "import os, time; open('started', 'w').close(); time.sleep(100 if os.path.exists('wait') else 0)"
# the code of a cell → the cause that is named
FAILURES = {
    "raise ValueError('no <song>')": "ValueError: no <song>",
    "1 / 0": "ZeroDivisionError: division by zero",
    "import absent_module": "ModuleNotFoundError: No module named 'absent_module'",
    "x = (": "SyntaxError",
    "import sys; sys.exit(0)": "SystemExit: 0",
    "import sys; sys.exit('bye')": "SystemExit: bye",
    "exit()": "SystemExit: exit() or quit() in a cell",
    "quit": "SystemExit: exit() or quit() in a cell",
    "from pathlib import Path; Path('absent').read_text()": "FileNotFoundError",
    "import signal\nsignal.alarm(1)\nwhile True: pass": "the kernel died",
    "import os; os._exit(0)": "the kernel died",
    "import os; os._exit(3)": "the kernel died",
    "import os; os.abort()": "the kernel died",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "the kernel died",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": "the kernel died",
    "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGHUP)":
        "the kernel died",  # nohup lets processes ignore it
    "import ctypes; ctypes.string_at(0)": "the kernel died",
    "import os, signal; os.kill(os.getpid(), signal.SIGINT)": "KeyboardInterrupt",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "def f(): f()\nf()": "RecursionError",
    "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, -1)); x = bytearray(2**33)": "MemoryError",
    "assert False, 'wrong'": "AssertionError: wrong",
    "while True: pass": SLOW,
    "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(100)": SLOW,
    "import threading, os, time\nthreading.Timer(0.3, os._exit, (0,)).start(); time.sleep(100)": "the kernel died",
    "raise BaseException('base')": "BaseException: base",
    "import asyncio; raise asyncio.CancelledError('gone')": "CancelledError: gone",
    "class Odd(Exception):\n    def __str__(self): raise RuntimeError('no text')\nraise Odd": "RuntimeError: no text",
    PARENT + "papermill.kill()": "papermill stopped with status -9",
    PARENT + "papermill.terminate()": "papermill stopped with status -15",
    "import os, shutil; shutil.rmtree('reports')": "reports",
    "import subprocess; subprocess.run(['false'], check=True)": "CalledProcessError",
}  # fmt: skip

SHORT = ("exit()", PARENT + "papermill.kill()", "import os, shutil; shutil.rmtree('reports')")


def fail(root: Path, code: str, cause: str) -> str:
    """Make a report with a cell that fails; return what is wrong, or an empty string."""
    tiny.write_notebook(root / "notebooks" / "02_train.ipynb", code, "print('the end')")
    (root / "pyproject.toml").touch()
    process = tiny.command(root, f"--timeout={3 if '--timeout' in cause else 60}")
    out, err = process.communicate(timeout=100)
    reports = [path.parent.name for path in root.glob("reports/[!.]*/run.json")]
    errors = [str(json.loads(path.read_text())["error"]) for path in root.glob("reports/*/run.json")]
    named = [HERE in text and cause in text for text in (err, *errors)]
    failed = all(name.endswith((".failed", ".interrupted")) for name in reports)
    if process.returncode in (1, 130) and failed and all(named) and not tiny.alive(root):
        return ""
    return f"{code!r}: status {process.returncode}, {reports}, {errors}, alive {tiny.alive(root)}\n{err[-800:]}"


def test_ways_to_fail_in_a_cell(count, full, tmp_path):
    cases = enumerate(FAILURES.items())  # in the short form, those without a likeness in tests/test_reports.py
    chosen = [each for each in cases if full or each[1][0] in SHORT]
    with ThreadPoolExecutor(2) as pool:
        messages = list(pool.map(lambda each: fail(tmp_path / str(each[0]), *each[1]), chosen))
    wrong = [message for message in messages if message]
    print(*wrong, sep="\n\n")
    count("a cell that fails, each in another way", len(chosen), len(wrong), RULE)


def interrupt(root: Path, step: int, number: int) -> str:
    """Send a signal while a step runs, or close the terminal if the number is 0; return what is wrong."""
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    for each, name in enumerate(tiny.STEPS, 1):
        tiny.write_notebook(root / "notebooks" / f"{name}.ipynb", WAIT if each == step else "1", "2")
    (root / "wait").touch()
    terminal, inner = pty.openpty()
    options = {"stdin": inner, "stdout": inner, "stderr": inner, "start_new_session": True}

    def prepare() -> None:
        for each in (signal.SIGINT, signal.SIGHUP):  # ignored where the tests were started in the background
            signal.signal(each, signal.SIG_DFL)
        if number == 0:
            fcntl.ioctl(inner, termios.TIOCSCTTY, 0)

    process = tiny.command(root, preexec_fn=prepare, **options if number == 0 else {})
    os.close(inner)
    begun = tiny.wait_until((root / "started").exists, 200)
    if number:
        process.send_signal(number)
    os.close(terminal)
    if number:
        process.communicate(timeout=30)
    else:
        process.wait(timeout=30)
    records = [json.loads(path.read_text()) for path in root.glob("reports/*.interrupted/run.json")]
    name = list(tiny.STEPS)[step - 1]
    expected = [f"{name}, cell 2 of 3: interrupted by {signal.Signals(number or signal.SIGHUP).name}"]
    good = begun and process.returncode == 130 and [each["error"] for each in records] == expected
    good = good and not tiny.alive(root) and not tiny.leftovers(root)
    there = [path.name for path in (root / "reports").iterdir()]
    errors = [each["error"] for each in records]
    return (
        ""
        if good
        else f"{name} {number}: {begun} {process.returncode} {errors} {there} {tiny.alive(root)} {tiny.leftovers(root)}"
    )


def test_a_signal_at_each_step(count, full, tmp_path):
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, 0]
    cases = [(step, number) for step in (1, 2, 3) for number in numbers] if full else [(1, 0)]
    with ThreadPoolExecutor(2) as pool:
        messages = list(pool.map(lambda each: interrupt(tmp_path / "-".join(map(str, each)), *each), cases))
    wrong = [message for message in messages if message]
    print(*wrong, sep="\n\n")
    count("SIGINT, SIGTERM, SIGHUP, a closed terminal, at each step", len(cases), len(wrong), RULE)
