"""Langfuse 3 to 5: JSON documents for usage, parameters and cost. Its OpenAI wrapper names the answer's model.

Its LangChain handler takes the details of a count out of the count: `input` and `input_cache_read` add up to the input.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector.coercion import to_count
from tracecanary.collector.conventions.otel_genai import OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, Source, inside, merged, usage

_KINDS: Mapping[str, str] = {
    "generation": "llm",
    "embedding": "embedding",
    "agent": "agent",
    "tool": "tool",
    "chain": "chain",
    "retriever": "retriever",
    "evaluator": "evaluator",
    "guardrail": "guardrail",
}
_USAGE = "langfuse.observation.usage_details"
_NO_DETAILS = frozenset({"input_tokens", "output_tokens"})


def _with_details(usage: object, side: str) -> int | None:
    """Return a count with the details that were taken out of it; None where the names are not Langfuse's own."""
    rest = to_count(usage.get(side)) if isinstance(usage, dict) else None
    if rest is None or not isinstance(usage, dict):
        return None
    details = [name for name in usage if str(name).startswith(f"{side}_") and name not in _NO_DETAILS]
    return to_count(rest + sum(to_count(usage[name]) or 0 for name in details))


def _input(usage: object) -> int | None:
    return _with_details(usage, "input")


def _output(usage: object) -> int | None:
    return _with_details(usage, "output")


_COUNTS: Columns = {
    "input_tokens": (Source(_USAGE, (), _input),),
    "output_tokens": (Source(_USAGE, (), _output),),
    "cache_read_tokens": (inside(_USAGE, "input_cache_read"),),
    "cache_write_tokens": (inside(_USAGE, "input_cache_creation"),),
    "reasoning_tokens": (inside(_USAGE, "output_reasoning"),),
}
_COLUMNS: Columns = {
    "request_model": (inside("langfuse.observation.model.parameters", "model"),),
    "response_model": ("langfuse.observation.model.name",),
    "reported_cost_nano_usd": (inside("langfuse.observation.cost_details", "total"),),
}

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="langfuse",
        marks=(Mark(attributes=("langfuse.observation.type",)),),
        kind_from=("langfuse.observation.type",),
        kinds=_KINDS,
        columns=merged(_COLUMNS, OTEL_COLUMNS, _COUNTS, usage(_USAGE)),
    ),
)
