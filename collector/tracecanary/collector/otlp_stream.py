"""Cutting a stream of OTLP into requests, one at a time in memory, whatever wrote it.

| first byte | what it is |
|---|---|
| white space or `{` | OTLP/JSON: a request a line, as the Collector's file exporter writes it, or one document |
| below 8 | the exporter's other form: requests behind their length, 4 bytes big-endian; JSON, protobuf, or their zstd |
| anything else | protobuf: one request, of any length, since each of its top-level fields is a request, too |

Compression around all of it, gzip or zstd, is told by its first bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Final, Literal, cast

from tracecanary.schema import MalformedInputError

# A request in one piece takes about ten times its size in memory while it is read.
DEFAULT_MAX_REQUEST_BYTES = 128 * 1024 * 1024
DEFAULT_MAX_DECOMPRESSED_BYTES = 100 * 1024**3
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BUFFER_BYTES = 1024 * 1024
# Tags of protobuf start with the number of a field, of which the first is 1: (1 << 3) | wire type.
_FIRST_TAG = 8
_REQUEST_TAG: Final = 0x0A  # field 1, length-delimited: ResourceSpans
_MAX_VARINT_BYTES = 10
_LENGTH_BYTES = 4

Encoding = Literal["json", "protobuf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """Most bytes of one request, and of a whole decompressed stream."""

    max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES
    max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpRequest:
    """One encoded request, and the offset in the decompressed stream that it ends at."""

    encoding: Encoding
    body: bytes
    end: int


class TornStreamError(MalformedInputError):
    """The stream ends inside a request: whatever wrote it was killed, or is still writing."""


def decompressed(stream: IO[bytes]) -> io.BufferedReader:
    """Return what `stream` holds, without gzip or zstd around it.

    Reading it raises OSError, EOFError or zlib.error where it is damaged: see `DAMAGE_ERRORS`.
    """
    raw = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", stream))
    magic = raw.peek(len(_ZSTD_MAGIC))
    if magic.startswith(_GZIP_MAGIC):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER_BYTES)
    if magic.startswith(_ZSTD_MAGIC):
        return io.BufferedReader(cast("io.RawIOBase", _zstd(raw)), _BUFFER_BYTES)
    return raw


DAMAGE_ERRORS = (OSError, EOFError, zlib.error)


def is_compressed(head: bytes) -> bool:
    """Tell whether a file that starts with `head` is gzip or zstd."""
    return head.startswith((_GZIP_MAGIC, _ZSTD_MAGIC))


def otlp_requests(stream: io.BufferedReader, *, limits: StreamLimits, start: int = 0) -> Iterator[OtlpRequest]:
    """Cut `stream`, decompressed and at its beginning, into requests; those that end before `start` are passed over.

    Raises:
        TornStreamError: It ends inside a request; all requests before that were given.
        MalformedInputError: It is no OTLP, damaged, or larger than the limits.
    """
    try:
        reader = _Reader(stream, limits)
        read = _format(stream)
        if start:
            reader.skip(start)
        yield from read(reader)
    except DAMAGE_ERRORS as error:
        raise MalformedInputError(f"the compressed stream is damaged: {error}") from error


def _format(stream: io.BufferedReader) -> Callable[[_Reader], Iterator[OtlpRequest]]:
    head = stream.peek(_BUFFER_BYTES)
    if head and head[0] < _FIRST_TAG:
        return _framed_requests
    if not head.lstrip().startswith(b"{") and head.strip():
        return _protobuf_requests
    # A protobuf request starts with a line feed, the tag of its first field, and "{" is also the length 123.
    return _protobuf_requests if head.startswith(b"\n{") and _is_protobuf(head[: 2 + ord("{")]) else _json_requests


def _is_protobuf(field: bytes) -> bool:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        ExportTraceServiceRequest().ParseFromString(field)
    except DecodeError:
        return False
    return True


class _Reader:
    """Reads from a stream and knows how far it is."""

    def __init__(self, stream: io.BufferedReader, limits: StreamLimits) -> None:
        self._stream, self._limits = stream, limits
        self.offset = 0

    @property
    def max_request_bytes(self) -> int:
        return self._limits.max_request_bytes

    def skip(self, count: int) -> None:
        while self.offset < count:
            if not self.read(min(_BUFFER_BYTES, count - self.offset)):
                return

    def read(self, count: int) -> bytes:
        return self._counted(self._stream.read(count))

    def line(self) -> bytes:
        return self._counted(self._stream.readline(self.max_request_bytes + 1))

    def request(self, count: int, encoding: Encoding, head: bytes = b"") -> OtlpRequest:
        """Return the next `count` bytes, behind `head`, as a request."""
        self.check_size(count)
        body = self.read(count)
        if len(body) < count:
            raise TornStreamError(f"it ends inside a request, {count - len(body)} bytes short")
        return OtlpRequest(encoding=encoding, body=head + body, end=self.offset)

    def check_size(self, count: int) -> None:
        if count > self.max_request_bytes:
            raise MalformedInputError(
                f"a request at byte {self.offset} is larger than {self.max_request_bytes} bytes. "
                "If the file is sound, allow more with --max-request-mb"
            )

    def _counted(self, part: bytes) -> bytes:
        self.offset += len(part)
        if self.offset > self._limits.max_decompressed_bytes:
            raise MalformedInputError(
                f"it holds more than {self._limits.max_decompressed_bytes} bytes when decompressed. "
                "If the file is sound, allow more with --max-decompressed-gb"
            )
        return part


def _json_requests(reader: _Reader) -> Iterator[OtlpRequest]:
    is_first = True
    while line := reader.line():
        reader.check_size(len(line))
        if not line.strip():
            continue
        if not _is_json(line) and is_first:
            yield _json_document(line, reader)
            return
        if not line.endswith(b"\n") and not _is_json(line):
            raise TornStreamError(f"its last line is torn after {len(line)} bytes")
        yield OtlpRequest(encoding="json", body=line, end=reader.offset)
        is_first = False
    if is_first:
        raise MalformedInputError("the file is empty")


def _json_document(first_line: bytes, reader: _Reader) -> OtlpRequest:
    body = first_line + reader.read(reader.max_request_bytes + 1 - len(first_line))
    reader.check_size(len(body))
    return OtlpRequest(encoding="json", body=body, end=reader.offset)


def _is_json(line: bytes) -> bool:
    # Only the first line and a last one without its end are parsed twice.
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _framed_requests(reader: _Reader) -> Iterator[OtlpRequest]:
    while head := reader.read(_LENGTH_BYTES):
        if len(head) < _LENGTH_BYTES:
            raise TornStreamError("it ends inside the length of a request")
        framed = reader.request(int.from_bytes(head), "protobuf")
        body = framed.body
        if body.startswith(_ZSTD_MAGIC):
            body = _zstd(io.BytesIO(body)).read(reader.max_request_bytes + 1)
            reader.check_size(len(body))
        encoding: Encoding = "json" if body.lstrip()[:1] == b"{" and not body.startswith(b"\n{") else "protobuf"
        yield OtlpRequest(encoding=encoding, body=body, end=framed.end)


def _protobuf_requests(reader: _Reader) -> Iterator[OtlpRequest]:
    while tag := reader.read(1):
        if tag[0] != _REQUEST_TAG:
            raise MalformedInputError(
                f"at byte {reader.offset - 1} stands {tag!r}, where neither OTLP in protobuf nor JSON can go on"
            )
        length, head = _varint(reader)
        yield reader.request(length, "protobuf", tag + head)


def _varint(reader: _Reader) -> tuple[int, bytes]:
    value, head = 0, b""
    for position in range(_MAX_VARINT_BYTES):
        byte = reader.read(1)
        if not byte:
            raise TornStreamError("it ends inside the length of a request")
        head += byte
        value |= (byte[0] & 0x7F) << (7 * position)
        if byte[0] < 0x80:
            return value, head
    raise MalformedInputError(f"the length of a request at byte {reader.offset} has no end")


def _zstd(stream: IO[bytes]) -> IO[bytes]:
    # Python's own comes with 3.14.
    import pyarrow as pa

    return cast("IO[bytes]", pa.CompressedInputStream(pa.PythonFile(_Lent(stream), mode="r"), "zstd"))


class _Lent(io.RawIOBase):
    """A stream that Arrow can't close when it is done with it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)
