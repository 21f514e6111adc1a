"""The HTTP service."""

from __future__ import annotations

import importlib.metadata

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from tracecanary.analytics.store import Store
from tracecanary.api.config import ServiceSettings
from tracecanary.api.problems import add_problem_handlers
from tracecanary.api.routes import comparison, evaluations, health, listings, traces, trajectory
from tracecanary.schema import FileLake

_DESCRIPTION = """Canary analysis for LLM model releases, from the OpenTelemetry traces you already have.

Ask `GET /compare?base=...&candidate=...`; `GET /models` lists what was seen. Errors are RFC 9457 problem details.
"""


def create_app(lake: FileLake, settings: ServiceSettings | None = None) -> FastAPI:
    """Return the service over `lake`; default settings without `settings`."""
    # FastAPI's own documentation page loads its scripts from outside; a closed cluster can't.
    app = FastAPIOffline(
        title="tracecanary",
        version=importlib.metadata.version("tracecanary"),
        description=_DESCRIPTION,
        redoc_url=None,
    )
    app.state.store = Store(lake)
    app.state.settings = settings or ServiceSettings()
    add_problem_handlers(app)
    for module in (comparison, trajectory, listings, traces, evaluations, health):
        app.include_router(module.router)
    return app
