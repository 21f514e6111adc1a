"""Senders that hold a place without sending keep nobody else from being read."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from tests.api.receiver.test_otlp_answers import EXPORT, protobuf_body, retry_delay_s

from tracecanary.api.receiver.reading_places import ReadingPlaces
from tracecanary.api.receiver.refusals import RefusedError
from tracecanary.api.service import ServiceAddresses
from tracecanary.schema import OverloadedError

LONG_S, SHORT_S = 60.0, 0.05
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def sent(message: bytes) -> AsyncIterator[bytes]:
    yield message


def reading_places(places: int, **patience_s: float) -> ReadingPlaces:
    given = {"patience_s": LONG_S, "contested_patience_s": LONG_S, "waiting_patience_s": LONG_S, **patience_s}
    return ReadingPlaces(places, **given)


async def read(places: ReadingPlaces, messages: AsyncIterator[bytes]) -> bytes:
    async with places.message(messages) as message:
        return message


async def started(places: ReadingPlaces, messages: AsyncIterator[bytes]) -> asyncio.Task[bytes]:
    task = asyncio.create_task(read(places, messages))
    await asyncio.sleep(0)
    return task


async def test_whoever_waits_gets_the_place_held_longest_and_the_others_keep_theirs() -> None:
    places = reading_places(2, contested_patience_s=SHORT_S)
    first, second = [await started(places, nothing()) for _ in range(2)]

    assert await read(places, sent(b"message")) == b"message"

    with pytest.raises(OverloadedError) as raised:
        await first
    assert raised.value.retry_after_s == 1
    assert not second.done()
    second.cancel()


async def test_any_number_of_idle_senders_gives_way_in_turn() -> None:
    places = reading_places(2, contested_patience_s=SHORT_S)
    idle = [await started(places, nothing()) for _ in range(6)]

    assert await read(places, sent(b"message")) == b"message"

    assert sum(task.done() for task in idle) == 5, "two places, of which the message needs one"
    for task in idle:
        task.cancel()
    await asyncio.gather(*idle, return_exceptions=True)


async def test_waiting_for_a_place_ends_with_the_request_to_come_back() -> None:
    places = reading_places(1, waiting_patience_s=SHORT_S)
    holder = await started(places, nothing())

    with pytest.raises(OverloadedError) as raised:
        await read(places, sent(b"message"))

    assert raised.value.retry_after_s == 1
    holder.cancel()


async def test_a_message_that_does_not_arrive_is_too_slow_where_nobody_waits() -> None:
    with pytest.raises(RefusedError) as raised:
        await read(reading_places(1, patience_s=SHORT_S), nothing())

    assert raised.value.reason == "too_slow"


async def test_no_more_messages_than_places_are_held() -> None:
    places, held, most = reading_places(3), 0, 0

    async def hold() -> None:
        nonlocal held, most
        async with places.message(sent(b"message")):
            held += 1
            most = max(most, held)
            await asyncio.sleep(0)
            held -= 1

    await asyncio.gather(*(hold() for _ in range(20)))

    assert most == 3


def test_exports_pass_streams_that_send_nothing(receiver: ServiceAddresses) -> None:
    release, refused = threading.Event(), queue.SimpleQueue[Any]()

    def idle() -> Iterator[bytes]:
        release.wait(60)
        yield from ()

    with ExitStack() as stack:
        stack.callback(release.set)
        channel = stack.enter_context(grpc.insecure_channel(receiver.grpc))
        stream: Any = channel.stream_unary(EXPORT)
        for _ in range(20):
            stream.future(idle()).add_done_callback(refused.put)
        export: Any = channel.unary_unary(EXPORT)

        assert export(protobuf_body("00f067aa0ba902b7"), timeout=20) == b""

        call = refused.get(timeout=20)
        assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retry_delay_s(call) == 1.0


def test_calls_beyond_the_limit_are_asked_to_come_back(receiver: ServiceAddresses) -> None:
    async def first_refused() -> Any:
        async with grpc.aio.insecure_channel(receiver.grpc) as channel:
            stream: Any = channel.stream_unary(EXPORT)
            calls = [stream() for _ in range(600)]  # which send nothing
            done, _ = await asyncio.wait(map(asyncio.ensure_future, calls), timeout=20, return_when="FIRST_COMPLETED")
            return done.pop().exception()

    refused = asyncio.run(first_refused())

    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.details() == "512 requests wait already. Send again in 1 s."
    assert retry_delay_s(refused) == 1.0
