"""pydantic-ai, and Logfire's own integrations of providers.

pydantic-ai's FallbackModel puts each failed attempt below the call that answered. Logfire's streams have two spans: the
request, and a message at the end that holds usage, parameters and the duration; only the first is a call.
"""

from __future__ import annotations

from tracecanary.collector import attributes as names
from tracecanary.collector.conventions.otel_genai import OPERATION_KINDS, OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, inside, merged

_LOGFIRE_COLUMNS: Columns = merged(
    OTEL_COLUMNS,
    {
        "request_model": (inside("request_data", "model"),),
        "response_model": (inside("response_data", "model"),),
    },
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
        columns=OTEL_COLUMNS,
    ),
    Convention(
        name="logfire",
        marks=(Mark(scope="logfire*", attributes=("request_data", "duration")),),
        kind_from=(),
        kinds={},
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
