"""traceAI (Future AGI): `gen_ai.span.kind`, and `fi.span.kind` of fi-instrumentation 0.1 and the C# and Java SDKs.

The OpenAI integration writes the answer's model into `gen_ai.request.model`, and none when the call fails. So does that
of OpenAI's Agents, whose parameters are the answer's, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector import attributes as names
from tracecanary.collector.conventions.openinference import SPAN_KINDS, TOKEN_COLUMNS
from tracecanary.collector.conventions.otel_genai import OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, inside, merged

_KINDS_FROM = ("gen_ai.span.kind", "fi.span.kind")
_KINDS: Mapping[str, str] = {**SPAN_KINDS, "conversation": "chain", "vector_db": "retriever"}

_PARAMETERS = (
    inside("gen_ai.request.parameters", "model"),
    inside("gen_ai.request.parameters", "model_name"),
    inside("llm.invocation_parameters", "model"),
    inside("llm.invocation_parameters", "model_name"),
    inside("input.value", "model"),
)
_COLUMNS: Columns = merged(
    {
        "provider": ("llm.provider", "ls_provider"),
        "cache_read_tokens": (
            "gen_ai.usage.cache_read_tokens",
            "gen_ai.usage.input_tokens.cache_read",
        ),
        "cache_write_tokens": (
            "gen_ai.usage.cache_write_tokens",
            "gen_ai.usage.input_tokens.cache_write",
        ),
        "reasoning_tokens": ("gen_ai.usage.output_tokens.reasoning",),
        "response_model": ("llm.model_name", "embedding.model_name"),
    },
    {column: sources for column, sources in OTEL_COLUMNS.items() if column != "request_model"},
    TOKEN_COLUMNS,
)

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="traceai",
        marks=(Mark(scope="traceai_openai_agents*", attributes=("gen_ai.span.kind",)),),
        kind_from=_KINDS_FROM,
        kinds=_KINDS,
        columns=merged({"response_model": (names.REQUEST_MODEL,)}, _COLUMNS),
        kinds_by_name={"handoff": "chain"},
    ),
    Convention(
        name="traceai",
        marks=(
            Mark(scope="traceai_openai*", attributes=("gen_ai.span.kind",)),
            Mark(scope="traceai.openai*", attributes=("gen_ai.span.kind",)),
        ),
        kind_from=_KINDS_FROM,
        kinds=_KINDS,
        columns=merged({"request_model": _PARAMETERS, "response_model": (names.REQUEST_MODEL,)}, _COLUMNS),
        kinds_by_name={"handoff": "chain"},
    ),
    Convention(
        name="traceai",
        marks=tuple(Mark(attributes=(kind,)) for kind in _KINDS_FROM),
        kind_from=_KINDS_FROM,
        kinds=_KINDS,
        columns=merged({"request_model": (names.REQUEST_MODEL, *_PARAMETERS)}, _COLUMNS),
    ),
)
