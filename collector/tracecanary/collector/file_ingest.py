"""Reading OTLP files of any size into a lake, in bounded memory, from where an interrupted reading stopped.

Requests are gathered to a batch, the batch is stored, and then a bookmark says how far the file is stored. Whoever is
killed in between stores the batch again, which readers count once. A bookmark is of a path and of how its file begins:
another file under that name, such as the next one of a rotated log, is read from its start.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.ingest import store_events, store_spans
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.otlp_contents import OtlpContents, read_contents
from tracecanary.collector.otlp_logs import LoggedEvent
from tracecanary.collector.otlp_stream import OtlpRequest, StreamLimits, TornStreamError, decompressed, otlp_requests
from tracecanary.schema import FileLake, LakeError, LakeStorage, MalformedInputError, lake_storage

# Of encoded requests; spans take about ten times as much in memory until they are stored.
DEFAULT_BATCH_BYTES = 32 * 1024 * 1024
_HEAD_BYTES = 64 * 1024
_BOOKMARK_FOLDER = "ingest"


@dataclass(slots=True)
class Batch:
    """What several requests brought."""

    spans: list[CapturedSpan] = field(default_factory=list)
    events: list[LoggedEvent] = field(default_factory=list)

    def add(self, contents: OtlpContents) -> None:
        """Add what a request brought."""
        self.spans += contents.spans
        self.events += contents.events


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRows:
    """How many spans, and evaluations of logs, were stored."""

    spans: int
    evaluations: int


Store = Callable[[Batch], StoredRows]


def store_batch(lake: FileLake, batch: Batch, normaliser: Normaliser | None = None) -> StoredRows:
    """Add `batch` to the lake, by the rules of `normaliser`.

    Raises:
        LakeError: The lake can't be written.
    """
    return StoredRows(
        spans=store_spans(lake, batch.spans, normaliser),
        evaluations=store_events(lake, batch.events, normaliser),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestCounts:
    """What came of a file.

    Attributes:
        requests: OTLP requests read.
        spans: Spans stored, those of an earlier, interrupted reading included.
        evaluations: Evaluations of log records stored, those of an earlier, interrupted reading included.
        other_requests: Requests of metrics or logs without an event, passed over.
        resumed_from: Offset in the decompressed file that the reading started at; 0 is its beginning.
        is_torn: Whether the file ends inside a request, which was left out.
    """

    requests: int = 0
    spans: int = 0
    evaluations: int = 0
    other_requests: int = 0
    resumed_from: int = 0
    is_torn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bookmark:
    """How far a file is stored."""

    head_bytes: int
    head_sha256: str
    offset: int
    requests: int
    spans: int
    other_requests: int
    evaluations: int = 0  # bookmarks of before had none


def ingest_stream(
    stream: IO[bytes],
    store: Store,
    *,
    limits: StreamLimits,
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    counts: IngestCounts | None = None,
    on_stored: Callable[[IngestCounts, int], None] = lambda _counts, _offset: None,
) -> IngestCounts:
    """Store all spans and evaluations of `stream`: OTLP in any form that `otlp_stream` knows.

    Args:
        stream: Where to read, at its beginning.
        store: Stores what was read, such as `store_batch`.
        limits: Most bytes of a request, and of all.
        batch_bytes: Bytes of requests that are stored together.
        counts: What an earlier reading came to, which stopped at `counts.resumed_from`.
        on_stored: Called with the counts and the offset in the decompressed stream that everything is stored up to.

    Raises:
        MalformedInputError: It is no OTLP, damaged, or larger than the limits; what stood before that is stored.
        LakeError: The lake can't be written; what was stored before stays.
    """
    counts = counts or IngestCounts()
    batch = Batch()
    size, offset = 0, counts.resumed_from
    try:
        for request in otlp_requests(decompressed(stream), limits=limits, start=offset):
            contents = _contents(request)
            batch.add(contents)
            counts = replace(
                counts, requests=counts.requests + 1, other_requests=counts.other_requests + contents.is_other
            )
            size, offset = size + len(request.body), request.end
            if size >= batch_bytes:
                counts = _with(counts, store(batch))
                on_stored(counts, offset)
                batch, size = Batch(), 0
    except TornStreamError:
        if not counts.requests:
            raise
        counts = replace(counts, is_torn=True)
    except MalformedInputError:
        _store_rest(batch, store, counts, offset, on_stored)
        raise
    return _store_rest(batch, store, counts, offset, on_stored)


def _contents(request: OtlpRequest) -> OtlpContents:
    try:
        return read_contents(request)
    except MalformedInputError as error:
        raise MalformedInputError(f"{error} (in the request that ends at byte {request.end})") from error


def _store_rest(
    batch: Batch,
    store: Store,
    counts: IngestCounts,
    offset: int,
    on_stored: Callable[[IngestCounts, int], None],
) -> IngestCounts:
    if batch.spans or batch.events:
        counts = _with(counts, store(batch))
        on_stored(counts, offset)
    return counts


def _with(counts: IngestCounts, stored: StoredRows) -> IngestCounts:
    return replace(counts, spans=counts.spans + stored.spans, evaluations=counts.evaluations + stored.evaluations)


def ingest_file(
    path: Path,
    lake: FileLake,
    store: Store,
    *,
    limits: StreamLimits,
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    on_progress: Callable[[IngestCounts, int], None] = lambda _counts, _read_bytes: None,
) -> IngestCounts:
    """Store what the file at `path` holds, from where an interrupted reading of it into `lake` stopped.

    `on_progress` is called, a batch at a time, with the counts and the bytes of the file that are read.

    Raises:
        MalformedInputError: It can't be read, is no OTLP, damaged, or larger than the limits.
        LakeError: The lake can't be written; reading the file again goes on where this stopped.
    """
    bookmarks = _Bookmarks(lake_storage(lake), path)
    try:
        with path.open("rb") as file:
            counts = bookmarks.find(file)
            head = _head(file, _HEAD_BYTES)

            def note(stored: IngestCounts, offset: int) -> None:
                bookmarks.set(head, stored, offset)
                on_progress(stored, file.tell())

            counts = ingest_stream(file, store, limits=limits, batch_bytes=batch_bytes, counts=counts, on_stored=note)
    except OSError as error:
        raise MalformedInputError(
            f"can't read {str(path)!r}: {error.strerror}. Check the path and its rights."
        ) from error
    bookmarks.remove()
    return counts


class _Bookmarks:
    """The bookmark of one file in a lake. It only saves work: what can't be read or written is done without."""

    def __init__(self, storage: LakeStorage, path: Path) -> None:
        self._storage = storage
        name = hashlib.sha256(str(path.absolute()).encode(errors="surrogateescape")).hexdigest()[:32]
        self._name = f"{_BOOKMARK_FOLDER}/{name}.json"
        self._is_set = False

    def find(self, file: io.BufferedReader) -> IngestCounts:
        """Return where to go on in `file`: at its start unless a bookmark is of this very file."""
        try:
            bookmark = _Bookmark(**json.loads(self._storage.read(self._name)))
            self._is_set = True
            head = _head(file, bookmark.head_bytes)
        except (LakeError, ValueError, TypeError):
            return IngestCounts()
        if hashlib.sha256(head).hexdigest() != bookmark.head_sha256:
            return IngestCounts()
        return IngestCounts(
            requests=bookmark.requests,
            spans=bookmark.spans,
            evaluations=bookmark.evaluations,
            other_requests=bookmark.other_requests,
            resumed_from=bookmark.offset,
        )

    def set(self, head: bytes, counts: IngestCounts, offset: int) -> None:
        """Note that everything before `offset` is stored."""
        bookmark = _Bookmark(
            head_bytes=len(head),
            head_sha256=hashlib.sha256(head).hexdigest(),
            offset=offset,
            requests=counts.requests,
            spans=counts.spans,
            evaluations=counts.evaluations,
            other_requests=counts.other_requests,
        )
        with contextlib.suppress(LakeError):
            self._storage.publish(self._name, json.dumps(asdict(bookmark)).encode(), what="a bookmark")
            self._is_set = True

    def remove(self) -> None:
        """Forget how far the file is stored."""
        if self._is_set:
            with contextlib.suppress(LakeError):
                self._storage.delete(self._name)


def _head(file: io.BufferedReader, count: int) -> bytes:
    head = file.read(count)
    file.seek(0)
    return head


def files_below(names: list[str]) -> Iterator[Path]:
    """Give the files that `names` stand for: files, folders with all that is below them, and patterns such as `*.json`.

    Hidden files are passed over in folders.

    Raises:
        MalformedInputError: A pattern matches nothing, or a folder is empty.
    """
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.is_file() and not _is_hidden(file, path))
        elif not path.exists() and any(sign in name for sign in "*?["):
            anchor = Path(path.anchor)
            found = sorted(file for file in anchor.glob(str(path.relative_to(anchor))) if file.is_file())
        else:
            found = [path]
        if not found:
            raise MalformedInputError(f"{name!r} stands for no file. Check the path.")
        yield from found


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)
