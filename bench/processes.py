"""Processes that a benchmark starts: what they cost, and when they end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_END_PATIENCE_S = 15.0
_QUIET_S, _QUIET_TRIES = 4.0, 8


@contextmanager
def running(command: list[str | Path], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run `command` while the block runs, and end it by its process id."""
    process = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process and those that it has started, user and system, all threads, in seconds."""
    total = 0
    for one in _tree(pid):
        fields = _stat(one)
        # Last come the times of children that have ended.
        total += sum(int(field) for field in fields[11:15])
    return total / _TICKS


def peak_mb(pid: int) -> float:
    """Return the most memory that a process has had, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def wait_until(is_so: Callable[[], bool], *, what: str, patience_s: float, every_s: float = 0.25) -> None:
    """Wait until `is_so`.

    Raises:
        TimeoutError: It was not within `patience_s`.
    """
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not seen within {patience_s:.0f} s")
        time.sleep(every_s)


def wait_until_quiet(pid: int) -> None:
    """Wait until a process has used less than a twentieth of a core for some seconds; not for ever."""
    for _ in range(_QUIET_TRIES):
        before = cpu_s(pid)
        time.sleep(_QUIET_S)
        if cpu_s(pid) - before < _QUIET_S / 20:
            return


def load() -> str:
    """Return how busy the machine is, as the kernel averages it over a minute."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _tree(pid: int) -> list[int]:
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += _tree(int(child))
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return ["0"] * 20
