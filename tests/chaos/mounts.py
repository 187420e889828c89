"""Mounts that only the calling process sees, and that end with it: Linux's unshare and mount."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NEW_USER, NEW_MOUNTS, READ_ONLY, REMOUNT, BIND = 0x10000000, 0x00020000, 1, 32, 4096


def check(call: int) -> None:
    """Raise the error of the last call of the C library, if there was one."""
    if call:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def own_mounts() -> Any:
    """Give this process mounts of its own, which end with it; return the C library."""
    user, group, libc = os.getuid(), os.getgid(), ctypes.CDLL(None, use_errno=True)
    check(libc.unshare(NEW_USER | NEW_MOUNTS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return libc


def read_only(libc: Any, folder: Path) -> None:
    """Make a folder read-only."""
    place = bytes(folder)
    check(libc.mount(place, place, None, BIND, None))
    check(libc.mount(None, place, None, BIND | REMOUNT | READ_ONLY, None))


def has_mounts() -> bool:
    """Return whether this system allows a process mounts of its own."""
    probe = "from mounts import own_mounts; own_mounts()"
    return not subprocess.run([sys.executable, "-c", probe], cwd=Path(__file__).parent, capture_output=True).returncode
