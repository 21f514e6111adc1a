"""pydantic-ai, and Logfire's own integrations of providers.

pydantic-ai's FallbackModel puts each failed attempt below the call that answered; where none did, the call around them
names the whole list, which is no model. Logfire's streams have two spans: the request, and a message at the end that
holds usage, parameters and the duration. The message is the call, and begins where its duration says (`derived.py`).
"""

from __future__ import annotations

from tracecanary.collector import attributes as names
from tracecanary.collector.coercion import to_name, to_provider
from tracecanary.collector.conventions.otel_genai import OPERATION_KINDS, OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, Source, inside, merged, usage

_ALTERNATIVES = "fallback:"


def _one_model(value: object) -> str | None:
    name = to_name(value)
    return None if name is None or name.startswith(_ALTERNATIVES) else name


def _one_provider(value: object) -> str | None:
    provider = to_provider(value)
    return None if provider is None or provider.startswith(_ALTERNATIVES) else provider


_PYDANTIC_COLUMNS: Columns = {
    **OTEL_COLUMNS,
    "provider": tuple(Source(name, read=_one_provider) for name in (names.PROVIDER_NAME, names.SYSTEM)),
    "request_model": (Source(names.REQUEST_MODEL, read=_one_model),),
}
_LOGFIRE_COLUMNS: Columns = merged(
    OTEL_COLUMNS,
    {
        "request_model": (inside("request_data", "model"),),
        "response_model": (inside("response_data", "model"),),
    },
    usage("gen_ai.usage.raw"),
)

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="pydantic_ai",
        marks=(
            Mark(scope="pydantic-ai*", attributes=(names.OPERATION_NAME,)),
            Mark(attributes=("pydantic_ai.model_request.attempt",)),
        ),
        kind_from=(names.OPERATION_NAME,),
        kinds=OPERATION_KINDS,
        kinds_by_name={"model request attempt": "attempt"},
        columns=_PYDANTIC_COLUMNS,
    ),
    Convention(
        name="logfire",
        marks=(Mark(scope="logfire*", attributes=("request_data", "duration")),),
        kind_from=(),
        kinds={},
        kinds_by_name={"streaming response": "llm"},
        columns=_LOGFIRE_COLUMNS,
    ),
    Convention(
        name="logfire",
        marks=(
            Mark(scope="logfire*", attributes=(names.OPERATION_NAME,)),
            Mark(scope="logfire.*", attributes=("request_data",)),
        ),
        kind_from=(names.OPERATION_NAME,),
        kinds=OPERATION_KINDS,
        kinds_by_name={"Chat Completion with": "llm", "Embedding Creation with": "embedding"},
        columns=_LOGFIRE_COLUMNS,
    ),
)
