"""How many gRPC calls read their message at a time, and who gives a place up.

gRPC tells nothing of a message before it has all of it, so a call that reads may hold a whole one, and one that sends
nothing looks just like one that sends slowly. Calls therefore read in a fixed number of places: in peace while places
are free; once others wait, those that have held theirs longest give it up, as many as wait. Nobody waits without end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tracecanary.api.receiver.refusals import too_slow
from tracecanary.schema import OverloadedError

_RETRY_AFTER_S = 1


class ReadingPlaces:
    """Reads messages, a bounded number at a time. Belongs to one event loop.

    Args:
        places: Messages read at a time.
        patience_s: How long a message may take to arrive.
        contested_patience_s: How long it may take when others wait for the place.
        waiting_patience_s: How long a call waits for a place.
    """

    def __init__(
        self, places: int, *, patience_s: float, contested_patience_s: float, waiting_patience_s: float
    ) -> None:
        self._free = asyncio.Semaphore(places)
        self._patience_s, self._contested_patience_s = patience_s, contested_patience_s
        self._waiting_patience_s = waiting_patience_s
        self._waiting = 0
        # When each began, in that order.
        self._readers: dict[asyncio.Timeout, float] = {}

    @asynccontextmanager
    async def message(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Read the next message, empty if there is none, and hold the place while the block runs.

        Raises:
            OverloadedError: No place became free in time, or others waited for this one.
            RefusedError: The message did not arrive in time.
        """
        await self._take_place()
        try:
            yield await self._read(messages)
        finally:
            self._free.release()

    async def _take_place(self) -> None:
        self._waiting += 1
        try:
            if self._free.locked():
                self._shorten_patience()
            async with asyncio.timeout(self._waiting_patience_s):
                await self._free.acquire()
        except TimeoutError:
            raise OverloadedError(
                f"too many requests arrive at once. Send again in {_RETRY_AFTER_S} s.", retry_after_s=_RETRY_AFTER_S
            ) from None
        finally:
            self._waiting -= 1

    async def _read(self, messages: AsyncIterator[bytes]) -> bytes:
        began_s = asyncio.get_running_loop().time()
        patience = asyncio.timeout(self._patience_s)
        try:
            async with patience:
                self._readers[patience] = began_s
                self._shorten_patience()
                return await anext(messages, b"")
        except TimeoutError:
            is_contested = (patience.when() or 0.0) < began_s + self._patience_s
            if not is_contested:
                raise too_slow(f"the message did not arrive within {self._patience_s:.0f} s.") from None
            raise OverloadedError(
                f"the message did not arrive within {self._contested_patience_s:.0f} s, and others wait."
                f" Send again in {_RETRY_AFTER_S} s.",
                retry_after_s=_RETRY_AFTER_S,
            ) from None
        finally:
            self._readers.pop(patience, None)

    def _shorten_patience(self) -> None:
        for patience, began_s in list(self._readers.items())[: self._waiting]:
            if not patience.expired():
                patience.reschedule(began_s + self._contested_patience_s)
