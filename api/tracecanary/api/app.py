"""The HTTP service."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from tracecanary.analytics.store import Store
from tracecanary.api.config import ServiceSettings
from tracecanary.api.problems import add_problem_handlers
from tracecanary.api.receiver.config import ReceiverSettings
from tracecanary.api.receiver.grpc_server import running_grpc_server
from tracecanary.api.receiver.metrics import ServiceMetrics
from tracecanary.api.receiver.receiver import Receiver
from tracecanary.api.receiver.timing import RequestTiming
from tracecanary.api.routes import comparison, evaluations, health, listings, otlp, traces, trajectory
from tracecanary.api.routes.bodies import MOST_BODIES, BodyCache
from tracecanary.collector.intake import Intake
from tracecanary.schema import FileLake

_DESCRIPTION = """Canary analysis for LLM model releases, from the OpenTelemetry traces you already have.

Ask `GET /compare?base=...&candidate=...`; `GET /models` lists what was seen. Errors are RFC 9457 problem details.
"""


def create_app(
    lake: FileLake,
    settings: ServiceSettings | None = None,
    *,
    receiver: ReceiverSettings | None = None,
    grpc_address: str | None = None,
    on_start: Callable[[], None] | None = None,
) -> FastAPI:
    """Return the service over `lake`.

    Args:
        lake: A folder, or an object store.
        settings: What the configuration file says.
        receiver: What it receives, and from whom.
        grpc_address: Where it receives OTLP over gRPC, host:port; nowhere by default.
        on_start: Called when it receives.
    """
    rules, receiving = (settings or ServiceSettings()).rules, receiver or ReceiverSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        intake = Intake(lake, receiving.intake, rules)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, intake.close)
            app.state.receiver = Receiver(intake, receiving.tokens)
            app.state.metrics.watch(intake)
            if grpc_address is not None:
                await stack.enter_async_context(running_grpc_server(app.state.receiver, grpc_address, receiving.tls))
            if on_start is not None:
                on_start()
            yield

    # FastAPI's own documentation page loads its scripts from outside; a closed cluster can't.
    app = FastAPIOffline(
        title="tracecanary",
        version=importlib.metadata.version("tracecanary"),
        description=_DESCRIPTION,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings or ServiceSettings()
    app.state.store = Store(lake, app.state.settings.derivation)
    app.state.bodies = BodyCache(MOST_BODIES)
    app.state.metrics = ServiceMetrics()
    app.add_middleware(RequestTiming, metrics=app.state.metrics)
    add_problem_handlers(app)
    for module in (comparison, trajectory, listings, traces, otlp, evaluations, health):
        app.include_router(module.router)
    return app
