"""Request bodies that were compressed, without trusting what they say of their size."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from tracecanary.schema import MalformedInputError, TooLargeError

# For zlib: by the header of gzip; by that of zlib, which is what HTTP calls deflate.
_GZIP, _ZLIB, _RAW = 31, 15, -15
# Clients send one. Each copies what stands behind it: 400,000 empty ones, of 8 MB in all, took a minute.
_MAX_MEMBERS = 100


def decompress(body: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """Return `body` without its content encoding, one of `ENCODINGS`.

    Raises:
        MalformedInputError: It is damaged, or cut off.
        TooLargeError: It is larger than `max_bytes`; no more than that was ever in memory.
    """
    return _DECODERS[encoding](body, max_bytes)


def _identity(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


def _gzip(body: bytes, max_bytes: int) -> bytes:
    return _inflated(body, _GZIP, max_bytes)


def _deflate(body: bytes, max_bytes: int) -> bytes:
    # Some clients leave zlib's header out.
    return _inflated(body, _ZLIB if body[:1] == b"\x78" else _RAW, max_bytes)


def _inflated(body: bytes, wbits: int, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body:  # a gzip stream may have several members
        if len(parts) >= _MAX_MEMBERS:
            raise MalformedInputError(f"the compressed body has more than {_MAX_MEMBERS} members. Compress it as one.")
        stream = zlib.decompressobj(wbits)
        try:
            part = stream.decompress(body, max_bytes - size + 1)
        except zlib.error as error:
            raise MalformedInputError(f"the compressed body is damaged: {error}") from error
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if not stream.eof:
            raise MalformedInputError("the compressed body is cut off")
        parts.append(part)
        body = stream.unused_data
    return b"".join(parts)


def _zstd(body: bytes, max_bytes: int) -> bytes:
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            contents: bytes = stream.read(max_bytes + 1)
    except OSError as error:
        raise MalformedInputError(f"the compressed body is damaged: {error}") from error
    if len(contents) > max_bytes:
        raise _too_large(max_bytes)
    return contents


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {max_bytes} bytes when it is decompressed. Send smaller batches.")


_DECODERS: Mapping[str, Callable[[bytes, int], bytes]] = {
    "identity": _identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
ENCODINGS = frozenset(_DECODERS)
