"""Starts the workers of a training on this machine, and stops all of them when one ends badly."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence

PORT_TAKEN = 75  # exit status of a worker whose port was taken before it could use it
TRIES = 5  # with other ports each time
STOP_SECONDS = 120.0  # after Ctrl-C, for the first worker to write its checkpoint
SUPERVISED = "RECSYS_SUPERVISED"  # environment variable of a worker that must end when its standard input does


def run_workers(n: int, command: Sequence[str]) -> None:
    """Run a command as n workers, each with its own TF_CONFIG, until all have ended.

    Raises RuntimeError, with all workers stopped, when one fails or is killed. After Ctrl-C the first worker is
    interrupted, and then all are stopped.
    """
    for _ in range(TRIES):
        statuses = _run_once(command, free_ports(n))
        if PORT_TAKEN not in statuses:
            break
    if failed := next(((number, each) for number, each in enumerate(statuses) if each), None):
        number, status = failed
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        if status == PORT_TAKEN:
            how = f"found its port in use, {TRIES} times"
        raise RuntimeError(f"worker {number} of {n} {how}; all workers are stopped")


def free_ports(n: int) -> list[int]:
    """Return ports of this machine that nobody uses now; somebody may before a worker does."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def _run_once(command: Sequence[str], ports: Sequence[int]) -> list[int]:
    """Return the exit status of each worker, 0 for those that were stopped because of another."""
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    threads = str(max(1, (os.cpu_count() or 1) // len(ports)))
    workers = []
    try:
        for index in range(len(ports)):
            config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
            own = {"TF_CONFIG": config, SUPERVISED: "1"}
            environment = {"TF_NUM_INTRAOP_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "3"} | dict(os.environ) | own
            options = {"env": environment, "stdin": subprocess.PIPE, "start_new_session": True}  # no Ctrl-C
            workers.append(subprocess.Popen(command, **options))  # type: ignore[call-overload]
        while any(each.poll() is None for each in workers) and not any(each.poll() for each in workers):
            time.sleep(0.05)
        return [each.poll() or 0 for each in workers]
    except KeyboardInterrupt:
        if workers and workers[0].poll() is None:
            workers[0].send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                workers[0].wait(STOP_SECONDS)
        raise
    finally:
        for each in workers:
            each.kill()
            each.wait()
            if each.stdin:
                each.stdin.close()


def end_with_supervisor() -> None:
    """End this process at once when the one that started it as a worker has ended, however it ended."""

    def wait() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock would be in the way when Python ends
            pass
        os._exit(1)

    if os.environ.get(SUPERVISED):
        threading.Thread(target=wait, daemon=True).start()
