"""Which attributes each convention keeps its values in: tables, one module a family, compiled by `plans.py`.

To support another instrumentation, add a table, name it in `CONVENTIONS`, and add a capture of it to the tests.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracecanary.collector.conventions import (
    agent_frameworks,
    langfuse,
    langsmith,
    litellm,
    mlflow,
    openinference,
    otel_genai,
    pydantic_ai,
    traceai,
    traceloop,
    vercel,
)
from tracecanary.collector.conventions.content import is_content
from tracecanary.collector.conventions.context import CALLED_ROUTE, CONTEXT_COLUMNS, RESOURCE_COLUMNS, SERVER_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, Source

# First hit wins: names of one library only go before the names that many share.
CONVENTIONS: tuple[Convention, ...] = (
    *openinference.CONVENTIONS,
    *traceai.CONVENTIONS,
    *vercel.CONVENTIONS,
    *langsmith.CONVENTIONS,
    *langfuse.CONVENTIONS,
    *mlflow.CONVENTIONS,
    *litellm.CONVENTIONS,
    *pydantic_ai.CONVENTIONS,
    *agent_frameworks.CONVENTIONS,
    *traceloop.CONVENTIONS,
    *otel_genai.CONVENTIONS,
)


def find_convention(scope_name: str, attributes: Iterable[str]) -> Convention | None:
    """Return the first convention with a mark on spans of this scope with these attributes, or None."""
    for convention in CONVENTIONS:
        if any(mark.is_on(scope_name, attributes) for mark in convention.marks):
            return convention
    return None


__all__ = [
    "CALLED_ROUTE",
    "CONTEXT_COLUMNS",
    "CONVENTIONS",
    "RESOURCE_COLUMNS",
    "SERVER_COLUMNS",
    "Columns",
    "Convention",
    "Mark",
    "Source",
    "find_convention",
    "is_content",
]
