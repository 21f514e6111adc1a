"""OTLP over gRPC, in the event loop of the HTTP service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc

from tracecanary.api.receiver.config import TlsFiles
from tracecanary.api.receiver.reading_places import ReadingPlaces
from tracecanary.api.receiver.receiver import Receiver
from tracecanary.api.receiver.refusals import refusal_of, unauthenticated
from tracecanary.api.receiver.responses import logs_response, trace_response
from tracecanary.collector.intake_requests import IntakeRequest, OtlpBody, TraceRequest
from tracecanary.schema import ConfigurationError, OverloadedError, TraceCanaryError

_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
_STATUS_DETAILS = "grpc-status-details-bin"
# More are told to come back later. gRPC has a limit, too, and refuses without saying when: senders would then give up.
_MAX_CALLS = 512
_MAX_GRPC_CALLS = 4 * _MAX_CALLS
_RETRY_AFTER_S = 1
# So many read their message at a time, each of at most 16 MiB; the others hold nothing but a window of HTTP/2.
_MAX_READING = 16
_READ_PATIENCE_S = 30.0
# A message comes right behind its call: 2 s are enough for 16 MiB at 70 Mbit/s, or 1 MiB at 4.
_CONTESTED_PATIENCE_S = 2.0
# Below the 10 s after which exporters give up by themselves: so they learn why, and when to come back.
_WAITING_PATIENCE_S = 8.0
_STOP_PATIENCE_S = 5.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@asynccontextmanager
async def running_grpc_server(receiver: Receiver, address: str, tls: TlsFiles | None) -> AsyncIterator[None]:
    """Answer OTLP/gRPC at `address` (host:port) while the block runs.

    Raises:
        ConfigurationError: The address can't be used, or the certificate can't be read.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", receiver.intake.settings.max_body_bytes),
            ("grpc.so_reuseport", 0),  # two services must not share a port without knowing
        ],
        maximum_concurrent_rpcs=_MAX_GRPC_CALLS,
    )
    server.add_generic_rpc_handlers((_OtlpHandler(receiver),))
    try:
        if tls is None:
            server.add_insecure_port(address)
        else:
            pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
            server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    except (RuntimeError, OSError) as error:
        raise ConfigurationError(
            [f"can't receive OTLP/gRPC at {address}: {error}. Choose another --grpc-port, or 0 for any free one"]
        ) from error
    await server.start()
    try:
        yield
    finally:
        await server.stop(_STOP_PATIENCE_S)


class _OtlpHandler(grpc.GenericRpcHandler):
    """Takes messages as bytes, since the intake decodes them.

    To the server they are streams of one message, which senders can't tell: a message is then read when there is room
    for it, where gRPC would else hold those of all calls.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._calls = 0  # of the event loop alone
        self._places = ReadingPlaces(
            _MAX_READING,
            patience_s=_READ_PATIENCE_S,
            contested_patience_s=_CONTESTED_PATIENCE_S,
            waiting_patience_s=_WAITING_PATIENCE_S,
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if handler_call_details.method == _TRACES:
            return grpc.stream_unary_rpc_method_handler(self._export(TraceRequest, trace_response))
        if handler_call_details.method == _LOGS:
            return grpc.stream_unary_rpc_method_handler(self._export(self._receiver.log_request, logs_response))
        return None

    def _export(self, new_request: Callable[[OtlpBody], IntakeRequest], respond: Callable[..., bytes]) -> Any:
        async def export(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            try:
                with self._counted_call():
                    return await self._stored(messages, context, new_request, respond)
            except TraceCanaryError as error:
                refusal = refusal_of(error)
            self._receiver.intake.counts.refuse(refusal.reason)
            details = ((_STATUS_DETAILS, refusal.status().SerializeToString()),)
            await context.abort(_CODES[refusal.grpc_code], refusal.message, trailing_metadata=details)
            raise AssertionError("abort raises")

        return export

    @contextmanager
    def _counted_call(self) -> Iterator[None]:
        if self._calls >= _MAX_CALLS:
            raise OverloadedError(
                f"{_MAX_CALLS} requests wait already. Send again in {_RETRY_AFTER_S} s.", retry_after_s=_RETRY_AFTER_S
            )
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    async def _stored(
        self,
        messages: AsyncIterator[bytes],
        context: grpc.aio.ServicerContext[bytes, bytes],
        new_request: Callable[[OtlpBody], IntakeRequest],
        respond: Callable[..., bytes],
    ) -> bytes:
        headers = dict(context.invocation_metadata() or ())
        if not self._receiver.tokens.allow(str(headers.get("authorization", ""))):
            raise unauthenticated()
        intake = self._receiver.intake
        message = await self._read(messages)
        try:
            body = OtlpBody(
                contents=message, is_json=False, max_decompressed_bytes=intake.settings.max_decompressed_bytes
            )
            acknowledgement = await asyncio.wrap_future(intake.submit(new_request(body)))
        finally:
            intake.release(len(message))
        return respond(acknowledgement, is_json=False)

    async def _read(self, messages: AsyncIterator[bytes]) -> bytes:
        """Return the message, whose bytes are reserved in the intake."""
        intake = self._receiver.intake
        intake.reserve(0)  # refused before it is read when there is no room for anything
        async with self._places.message(messages) as message:
            intake.reserve(len(message))
            return message
