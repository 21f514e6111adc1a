"""Rows to a server by OTLP: in requests that it takes, each until it is taken.

Theory of operation. A request that fails ends the sending: the rows stay in the journal, and all of them are sent
again. Requests are the same each time, so those that the server has taken by then are known by their digests and left
out. A restart forgets the digests, and the server gets some spans twice, which it counts once.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from tracecanary.collector.forks import ForkLocks
from tracecanary.collector.otlp_encoding import OtlpRequest, otlp_requests
from tracecanary.collector.otlp_transport import Outcome, Reply, Transport, transport_to
from tracecanary.schema import LakeError, LakeTable, OtlpServer

if TYPE_CHECKING:
    import pyarrow as pa

_logger = logging.getLogger(__name__)
# gRPC servers take 4 MiB by default; more spans would only make a failure dearer.
MAX_REQUEST_ROWS: Final = 2_000
MAX_REQUEST_BYTES: Final = 2 * 1024 * 1024
# A journal of 1 GiB makes fewer requests than this.
_MAX_DIGESTS = 10_000


class BusyServerError(LakeError):
    """The server wants to be left alone for `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class OtlpSender:
    """Sends spans to `server` as traces, and evaluations as log records.

    Args:
        server: Where to.
        headers: What every request carries; they may hold secrets.
        timeout_s: How long a request may take.
        on_rejected: Told how many rows the server will never take.
        locks: Held while rows are read, packages are imported, and requests are sent.
    """

    def __init__(
        self,
        server: OtlpServer,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        on_rejected: Callable[[int], None],
        locks: ForkLocks,
    ) -> None:
        self._server, self._headers, self._timeout_s = server, headers, timeout_s
        self._on_rejected, self._locks = on_rejected, locks
        self._transport: Transport | None = None
        self._taken: dict[bytes, None] = {}  # in the order they were taken

    def publish(self, table: LakeTable, rows: pa.Table, *, name: str | None) -> None:  # noqa: ARG002
        """Send `rows` of `table`, all of them.

        Raises:
            LakeError: The server did not take them all; sending them again is safe.
        """
        with self._locks.arrow:
            if self._transport is None:
                self._transport = transport_to(self._server, self._headers)
        for first_row in range(0, rows.num_rows, MAX_REQUEST_ROWS):
            self._send_all(table, rows.slice(first_row, MAX_REQUEST_ROWS), self._transport, max_rows=MAX_REQUEST_ROWS)

    def _send_all(self, table: LakeTable, rows: pa.Table, transport: Transport, *, max_rows: int) -> None:
        with self._locks.arrow:
            requests = list(otlp_requests(table, rows, max_rows=max_rows, max_bytes=MAX_REQUEST_BYTES))
        for request in requests:
            digest = hashlib.blake2b(request.body, digest_size=16).digest()
            if digest not in self._taken:
                self._send(table, rows, request, transport)
                self._remember(digest)

    def _send(self, table: LakeTable, rows: pa.Table, request: OtlpRequest, transport: Transport) -> None:
        with self._locks.network:
            reply = transport.send(table, request.body, timeout_s=self._timeout_s)
        if reply.outcome is Outcome.TAKEN:
            if reply.rejected:
                self._reject(min(reply.rejected, request.rows), table, reply)
        elif reply.outcome is Outcome.TOO_LARGE and request.rows > 1:
            half = (request.rows + 1) // 2
            self._send_all(table, rows.slice(request.first_row, request.rows), transport, max_rows=half)
        elif reply.outcome is Outcome.FAILED:
            message = f"can't send {table.value} to {self._server}: {reply.message.rstrip('.')}."
            if reply.retry_after_s is not None:
                raise BusyServerError(message, reply.retry_after_s)
            raise LakeError(message)
        else:
            self._reject(request.rows, table, reply)

    def _reject(self, rows: int, table: LakeTable, reply: Reply) -> None:
        self._on_rejected(rows)
        _logger.error("%s will never take %d %s, and they are lost: %s", self._server, rows, table.value, reply.message)

    def _remember(self, digest: bytes) -> None:
        self._taken[digest] = None
        while len(self._taken) > _MAX_DIGESTS:
            self._taken.pop(next(iter(self._taken)), None)
