"""Which agent a span belongs to: most tools' and models' spans don't say, but the agent's span around them does."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span

from tracecanary.collector.coercion import to_name

_AGENT_NAMES = ("gen_ai.agent.name", "agent.name", "agent_name", "graph.node.id")
_AGENT_SPANS = ("invoke_agent ", "create_agent ", "agent run ", "agent_run ")
# Spans that started and have not ended. One that never ends must not fill this.
_MAX_OPEN_SPANS = 10_000
_MAX_DEPTH = 64


class Ancestors:
    """Remembers the parents of spans that have not ended, without keeping them alive.

    Unlocked: each step is atomic, and a parent that is forgotten costs the name of an agent at most.
    """

    def __init__(self) -> None:
        self._parents: dict[int, weakref.ref[Span]] = {}

    def started(self, span_id: int, parent: Span) -> None:
        """Remember the parent of a span that has started."""
        if getattr(parent, "attributes", None) is None:
            return  # remote, or none: it can't be read
        self._parents[span_id] = weakref.ref(parent)
        if len(self._parents) > _MAX_OPEN_SPANS:
            try:
                self._parents.pop(next(iter(self._parents)), None)
            except (RuntimeError, StopIteration):  # another thread has changed it just now
                return

    def ended(self, span_id: int) -> None:
        """Forget a span that has ended."""
        self._parents.pop(span_id, None)

    def agent_of(self, span_id: int) -> str | None:
        """Return the name of the nearest agent above a span, as far as spans have not ended."""
        for _ in range(_MAX_DEPTH):
            reference = self._parents.get(span_id)
            parent = None if reference is None else reference()
            if parent is None:
                return None
            agent = _agent(getattr(parent, "attributes", None) or {}, str(getattr(parent, "name", "")))
            if agent is not None:
                return agent
            span_id = parent.get_span_context().span_id
        return None


def _agent(attributes: Mapping[str, Any], span_name: str) -> str | None:
    for name in _AGENT_NAMES:
        agent = to_name(attributes.get(name))
        if agent is not None:
            return agent
    start = next((start for start in _AGENT_SPANS if span_name.startswith(start)), None)
    return None if start is None else span_name.removeprefix(start) or None
