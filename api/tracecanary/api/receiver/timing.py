"""Measuring how long requests take."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracecanary.api.receiver.metrics import ServiceMetrics


class RequestTiming:
    """Counts each request under its route's path: the paths themselves may be anything."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note when it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = scope.get("route")
            endpoint = str(getattr(route, "path", "unknown"))
            self._metrics.observe(endpoint=endpoint, status=status, seconds=time.perf_counter() - start)
