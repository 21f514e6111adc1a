"""Flushing when the process is told to end: Python runs no exit handlers after an unhandled SIGTERM."""

from __future__ import annotations

import logging
import os
import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType, MethodType
from typing import cast

_logger = logging.getLogger(__name__)
# Orchestrators send SIGKILL 10 to 30 s after SIGTERM, and the application wants some of that time.
_TIMEOUT_MILLIS = 5_000


def flush_on_sigterm(flush: Callable[[int], bool]) -> bool:
    """Call `flush(timeout_millis)`, a method, when SIGTERM comes, then do what would have been done without it.

    Python allows this in the main thread only: elsewhere a warning is logged. Returns whether it is set up. An
    application that sets its own handler later replaces this one.
    """
    if threading.current_thread() is not threading.main_thread():
        _logger.warning("flush_on_sigterm has no effect: signal handlers can only be set in the main thread")
        return False
    previous = signal.getsignal(signal.SIGTERM)
    if previous is None:
        _logger.warning("flush_on_sigterm has no effect: a handler that Python does not know of is there")
        return False
    method = weakref.WeakMethod(cast(MethodType, flush))

    def handle(signal_number: int, frame: FrameType | None) -> None:
        alive = method()
        if alive is not None and not alive(_TIMEOUT_MILLIS):
            _logger.error("not all spans could be written on SIGTERM")
        if callable(previous):
            previous(signal_number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, handle)
    return True
