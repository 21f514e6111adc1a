"""Surviving `fork`: a child inherits neither threads nor usable locks.

At-fork hooks can't be taken back, so there is one set of them for everything that has to know.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

# An upload takes a fraction of it; a dead server takes longer, and must not hold up the application.
_NETWORK_PATIENCE_S = 1.0


class ForkAware(Protocol):
    """What has threads, locks or a queue of its own."""

    def before_fork(self) -> None:
        """Wait, for a short time, until a fork does no harm."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Start anew: the parent's spans are the parent's to write."""

    def at_exit_of_child(self) -> None:
        """Write what waits: a child made by `multiprocessing` runs no exit handlers."""


class ForkLocks:
    """Held across a fork: a child inherits the locks inside libraries without the threads that would release them.

    Attributes:
        arrow: Held while Arrow and whatever is large is imported and used.
        network: Held while something is sent. Whoever holds it waits for no other lock.
    """

    def __init__(self) -> None:
        self.arrow = threading.RLock()
        self.network = threading.RLock()

    def acquire(self, *, patience_s: float) -> None:
        """Wait until a fork does no harm: for `patience_s` until Arrow is not in use, and shortly for the network."""
        self.arrow.acquire(timeout=patience_s)
        self.network.acquire(timeout=_NETWORK_PATIENCE_S)

    def release(self) -> None:
        """Let the others go on."""
        for lock in (self.network, self.arrow):
            with contextlib.suppress(RuntimeError):  # not acquired in time, or made since
                lock.release()


_known: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def tell_of_forks(one: ForkAware) -> None:
    """Have the methods of `one` called at every fork, as long as it lives."""
    _known.add(one)
    _ask_multiprocessing(os.getpid())


def is_anything_capturing() -> bool:
    """Tell whether a processor or exporter of ours is alive in this process."""
    return bool(_known)


def _on_all(call: Callable[[ForkAware], None]) -> Callable[[], None]:
    def call_all() -> None:
        for one in list(_known):
            call(one)

    return call_all


def _after_fork_in_child() -> None:
    for one in list(_known):
        one.after_fork_in_child()
    _ask_multiprocessing(os.getpid())


@functools.cache
def _ask_multiprocessing(_: int) -> None:
    """Have what waits written when this process ends, if it is a child of `multiprocessing`: once a process id."""
    # The module is not imported for this: who does not use it has no use for it here.
    util, process = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is None or process is None:
        return
    # A child forgets all finalizers as soon as it has started, then calls what is registered here.
    util.register_after_fork(_at_exit_of_child, _finalize)
    if process.parent_process() is not None:
        _finalize()


def _finalize(_: object = None) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _at_exit_of_child, exitpriority=1)


def _at_exit_of_child() -> None:
    _on_all(lambda one: one.at_exit_of_child())()


# OpenTelemetry's SDK (1.45) uses a thread pool in every child. The pools' own hook mends their lock there, and hooks
# run in the order of imports: with pools imported after the provider is made, the child waits for ever. pandas imports
# them, and pyarrow pandas. Under `opentelemetry-instrument` the provider is made, and this would do the harm itself.
if "opentelemetry.instrumentation.auto_instrumentation" not in sys.modules:
    importlib.import_module("concurrent.futures.thread")

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_on_all(lambda one: one.before_fork()),
        after_in_parent=_on_all(lambda one: one.after_fork_in_parent()),
        after_in_child=_after_fork_in_child,
    )
