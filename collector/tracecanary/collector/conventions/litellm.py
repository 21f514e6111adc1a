"""LiteLLM's `otel` callback.

`raw_gen_ai_request` below `litellm_request` repeats the call: an attempt, no call of its own. Without a request span of
its own LiteLLM writes onto the application's active span, each call over the last, and the raw spans are all there is.
Usage is Python `repr`, not JSON, in places. A cost of 0 means that LiteLLM knows no price.
"""

from __future__ import annotations

from collections.abc import Mapping

from tracecanary.collector import attributes as names
from tracecanary.collector.coercion import known_usd_to_nano, to_int
from tracecanary.collector.conventions.otel_genai import OPERATION_KINDS, OTEL_COLUMNS
from tracecanary.collector.conventions.table import Columns, Convention, Mark, Source, inside, merged, usage


def _is_positive(value: object) -> bool | None:
    count = to_int(value)
    return None if count is None else count > 0


_CALLS = {
    "completion": "llm",
    "text_completion": "llm",
    "responses": "llm",
    "anthropic_messages": "llm",
    "generate_content": "llm",
    "embedding": "embedding",
    "rerank": "retriever",
}
_KINDS: Mapping[str, str] = {
    **OPERATION_KINDS,
    **_CALLS,
    **{f"a{call}": kind for call, kind in _CALLS.items()},
}
_REQUEST: Columns = merged(
    {
        "provider": (names.PROVIDER_NAME, names.SYSTEM, "llm.provider", "error.llm_provider"),
        "request_model": (names.REQUEST_MODEL, "litellm.provider.model", inside("hidden_params", "litellm_model_name")),
        "reported_cost_nano_usd": (
            Source("gen_ai.cost.total_cost", read=known_usd_to_nano),
            inside("hidden_params", "response_cost", read=known_usd_to_nano),
        ),
        # How often the router has sent the request before, and to how many other models.
        "retry_count": (inside("hidden_params", "additional_headers", "x-litellm-attempted-retries"),),
        "fallback_used": (
            inside("hidden_params", "additional_headers", "x-litellm-attempted-fallbacks", read=_is_positive),
        ),
        "route": (names.ROUTE, "litellm.model_group"),
        "cohort": (inside("metadata.requester_metadata", "cohort"), inside("metadata.spend_logs_metadata", "cohort")),
        "conversation_id": (inside("metadata.requester_metadata", "session_id"),),
    },
    {column: sources for column, sources in OTEL_COLUMNS.items() if column != "reported_cost_nano_usd"},
    usage("metadata.usage_object"),
)
_RAW: Columns = merged({"response_model": ("llm.*.model",), "response_id": ("llm.*.id",)}, usage("llm.*.usage"))

CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="litellm",
        marks=(Mark(attributes=("litellm.call_id",)), Mark(scope="litellm", attributes=(names.OPERATION_NAME,))),
        kind_from=(names.OPERATION_NAME, "llm.request.type"),
        kinds=_KINDS,
        columns=_REQUEST,
    ),
    Convention(
        name="litellm",
        marks=(Mark(scope="litellm"),),
        kind_from=(),
        kinds={},
        kinds_by_name={"raw_gen_ai_request": "attempt"},
        columns=_RAW,
    ),
)
