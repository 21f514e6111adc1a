"""Reading the body of an HTTP request, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from tracecanary.api.receiver.refusals import disconnected, too_large, too_slow, unsupported
from tracecanary.collector.compression import ENCODINGS
from tracecanary.collector.intake import Intake

_READ_PATIENCE_S = 30.0


def media_type(request: Request) -> str:
    """Return the type of the body, without parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_media_type(request: Request, allowed: Iterable[str]) -> str:
    """Return the type of the body.

    Raises:
        RefusedError: It is none of `allowed`.
    """
    given = media_type(request)
    if given not in allowed:
        raise unsupported(f"Content-Type {given[:100]!r} is not read here. Send {' or '.join(allowed)}.")
    return given


def content_encoding(request: Request) -> str:
    """Return how the body is compressed, one of `ENCODINGS`.

    Raises:
        RefusedError: It is compressed otherwise.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower() or "identity"
    if encoding not in ENCODINGS:
        known = ", ".join(sorted(ENCODINGS - {"identity"}))
        raise unsupported(f"Content-Encoding {encoding[:100]!r} is not read here. Send one of {known}, or none.")
    return encoding


@asynccontextmanager
async def received_body(request: Request, intake: Intake) -> AsyncIterator[bytes]:
    """Read the body and hold its bytes reserved in `intake` while the block runs.

    Raises:
        RefusedError: It is too large, or does not arrive as a whole.
        OverloadedError: Too much waits already.
    """
    limit = intake.settings.max_body_bytes
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit:
        raise too_large(f"the body has {stated} bytes, more than {limit}. Send smaller batches.")
    parts: list[bytes] = []
    reserved = 0
    try:
        try:
            async with asyncio.timeout(_READ_PATIENCE_S):
                async for part in request.stream():
                    if reserved + len(part) > limit:
                        raise too_large(f"the body has more than {limit} bytes. Send smaller batches.")
                    intake.reserve(len(part))
                    reserved += len(part)
                    parts.append(part)
        except TimeoutError:
            raise too_slow(f"the body did not arrive within {_READ_PATIENCE_S:.0f} s.") from None
        except ClientDisconnect:
            raise disconnected() from None
        yield b"".join(parts)
    finally:
        intake.release(reserved)
