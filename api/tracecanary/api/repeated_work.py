"""Work that a service does again and again in a thread of its own, from when it answers to when it stops."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# For a piece of work to come to its end; what it has not published by then is done again by the next process.
_STOP_LIMIT_S = 30.0
# As `nice` has it: a thread of normal priority gets ten times as much of a busy core.
_LOW_PRIORITY = 10


@contextmanager
def repeating(
    work: Callable[[threading.Event], None],
    *,
    name: str,
    every_s: float,
    after: threading.Event | None = None,
    can_wait: bool = False,
) -> Iterator[None]:
    """Call `work`, at once and every `every_s` seconds, while the block runs.

    Args:
        work: Gets an event that is set when the block ends. It must not raise.
        name: Of the thread.
        every_s: Seconds between the end of a call and the next one.
        after: The first call waits for it: what starts has work enough.
        can_wait: Whether the rest of the process goes first where the machine is busy; so on Linux alone, whose threads
            have priorities of their own.
    """
    has_ended = threading.Event()

    def repeat() -> None:
        if can_wait and sys.platform == "linux":
            with contextlib.suppress(OSError):  # a sandbox may forbid it
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)
        if after is not None:
            after.wait()
        while not has_ended.is_set():
            work(has_ended)
            has_ended.wait(every_s)

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        if after is not None:
            after.set()
        thread.join(_STOP_LIMIT_S)
