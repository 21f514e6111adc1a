"""Deriving what is new beside the service, in a thread, so that readers find most of it done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tracecanary.analytics.store import Store
from tracecanary.api.repeated_work import repeating
from tracecanary.schema import LakeError, StoreError

_logger = logging.getLogger(__name__)
# Between two times that the store is asked whether there is something to do.
_EVERY_S = 0.25
# A lake that can't be read costs a look into its files each time.
_EVERY_FAILED_S = 15.0


@contextmanager
def deriving(store: Store, *, after: threading.Event | None = None) -> Iterator[None]:
    """Keep what is derived from the lake of `store` up to date while the block runs; begin when `after` is set."""
    with (
        store.tended(),
        repeating(_Tending(store).tend, name="tracecanary-derivation", every_s=_EVERY_S, after=after),
    ):
        yield


class _Tending:
    """Remembers what went wrong last: it is logged once, and so is that it works again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last_failure = ""

    def tend(self, has_ended: threading.Event) -> None:
        try:
            if self._store.tend():
                self._note("")
        except (LakeError, StoreError) as error:
            self._note(str(error))
            has_ended.wait(_EVERY_FAILED_S)
        except Exception as error:
            # Whatever it is, the service goes on, and readers are told on their own.
            _logger.exception("deriving failed; it is tried again")
            self._last_failure = repr(error)
            has_ended.wait(_EVERY_FAILED_S)

    def _note(self, failure: str) -> None:
        if failure and failure != self._last_failure:
            _logger.warning("nothing new can be derived: %s", failure)
        elif self._last_failure and not failure:
            _logger.info("what is new in %s can be derived again", self._store.lake)
        self._last_failure = failure
