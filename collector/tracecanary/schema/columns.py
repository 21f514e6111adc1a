"""The canonical columns of spans and evaluations: the one contract between what writes and what reads.

Every instrumentation's own attribute names end in these columns. Undefined is null. Times are nanoseconds since the
Unix epoch in UTC, durations nanoseconds, money integer nano-USD (1e-9 USD), so that sums are exact on every engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# A reader refuses segments of a newer version; a column added within a version reads as null in older segments.
SCHEMA_VERSION = 1


class ColumnType(StrEnum):
    """Storage types, few and portable between engines."""

    STRING = "string"
    INT = "int64"
    FLOAT = "double"
    BOOL = "bool"
    STRING_MAP = "map<string, string>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, storage type and what it means, with its unit."""

    name: str
    type: ColumnType
    meaning: str
    is_required: bool = False


_STRING, _INT, _FLOAT, _BOOL, _MAP = (
    ColumnType.STRING,
    ColumnType.INT,
    ColumnType.FLOAT,
    ColumnType.BOOL,
    ColumnType.STRING_MAP,
)

SPAN_COLUMNS: tuple[Column, ...] = (
    # identity and time
    Column("trace_id", _STRING, "32 lower-case hex digits", is_required=True),
    Column("span_id", _STRING, "16 lower-case hex digits", is_required=True),
    Column("parent_span_id", _STRING, "null at the root"),
    Column("name", _STRING, "span name"),
    Column("otel_kind", _STRING, "internal, server, client, producer or consumer"),
    Column("start_unix_ns", _INT, "start, ns since the epoch", is_required=True),
    Column("duration_ns", _INT, "end minus start, ns", is_required=True),
    Column("status", _STRING, "unset, ok or error", is_required=True),
    Column("error_type", _STRING, "error.type, else the type of the exception event"),
    Column(
        "error_class",
        _STRING,
        "rate_limit, timeout, server, client, context_length, content_filter or other; null unless status is error",
    ),
    # where it came from
    Column("convention", _STRING, "naming convention the span was recognised by; null for a span of no known one"),
    Column("scope_name", _STRING, "instrumentation scope"),
    Column("scope_version", _STRING, "version of the instrumentation scope"),
    Column("service_name", _STRING, "resource service.name"),
    Column("environment", _STRING, "resource deployment.environment.name"),
    # the call
    Column(
        "kind",
        _STRING,
        "llm, embedding, agent, chain, tool, retriever, evaluator, guardrail, attempt or other; an attempt is a "
        "request inside a call, and no call of its own below an llm span of the same scope",
    ),
    Column("operation", _STRING, "gen_ai.operation.name"),
    Column("provider", _STRING, "gen_ai.provider.name"),
    Column("request_model", _STRING, "model as the application asked for it"),
    Column("response_model", _STRING, "model as the provider named it in its answer"),
    Column("model", _STRING, "canonical model that the call belongs to"),
    Column("response_id", _STRING, "gen_ai.response.id, a join key of evaluations"),
    Column("finish_reason", _STRING, "normalised: stop, length, tool_calls, content_filter, ..."),
    Column("input_tokens", _INT, "tokens, cached ones included"),
    Column("output_tokens", _INT, "tokens, reasoning included"),
    Column("cache_read_tokens", _INT, "input tokens served from a prompt cache"),
    Column("cache_write_tokens", _INT, "input tokens written to a prompt cache"),
    Column("reasoning_tokens", _INT, "output tokens spent on reasoning"),
    Column("reported_cost_nano_usd", _INT, "cost as the instrumentation reported it, nano-USD"),
    Column("time_to_first_token_ns", _INT, "ns from the start of the call to its first chunk"),
    # who, where, which release
    Column("agent_name", _STRING, "agent that the span belongs to"),
    Column("tool_name", _STRING, "tool called"),
    Column("tool_arguments_hash", _STRING, "hash of the tool's arguments: equal arguments, equal hash"),
    Column("tool_version", _STRING, "version of the tool or retriever called, else the data that a retriever read"),
    Column("conversation_id", _STRING, "conversation or session"),
    Column("user_id", _STRING, "end user"),
    Column("route", _STRING, "route or gateway rule that chose the model"),
    Column("release", _STRING, "release of the application, service.version"),
    Column("variant", _STRING, "arm of the rollout, as a feature flag names it"),
    Column("cohort", _STRING, "segment fixed before the model ran"),
    Column("pair_id", _STRING, "joins the base's and the candidate's answer to one request"),
    Column("prompt_name", _STRING, "prompt template"),
    Column("prompt_version", _STRING, "version of the prompt template"),
    # trajectory, retries, fallbacks
    Column("step", _INT, "agent.trajectory.step"),
    Column("step_name", _STRING, "agent.trajectory.step.name"),
    Column("step_source", _STRING, "attribute, framework or derived"),
    Column("retry_count", _INT, "resends after the first attempt"),
    Column("retry_source", _STRING, "attribute, event, or http_children: a resend count of an HTTP span"),
    Column("fallback_used", _BOOL, "answered by another model than asked first"),
    Column("fallback_from", _STRING, "model asked first"),
    Column("fallback_reason", _STRING, "why it was left"),
    # quality of the record
    Column("is_sampled", _BOOL, "whether the application's own sampler kept the span"),
    Column("sampling_probability", _FLOAT, "probability that the trace was kept, 0..1; null when unknown"),
    Column("dropped_attributes", _INT, "attributes lost to the SDK's limits"),
    Column("attributes", _MAP, "remaining attributes, without content; values that are no strings as JSON"),
)

EVALUATION_COLUMNS: tuple[Column, ...] = (
    Column("trace_id", _STRING, "32 lower-case hex digits; null when only response_id tells what was judged"),
    Column("span_id", _STRING, "span judged; null when the whole trace was"),
    Column("name", _STRING, "evaluator, such as task_reward, thumbs or escalation", is_required=True),
    Column("version", _STRING, "version of the evaluator", is_required=True),
    Column("score", _FLOAT, "score in the evaluator's own scale"),
    Column("label", _STRING, "label in the evaluator's own words"),
    Column("passed", _BOOL, "verdict; null when the evaluator gave none"),
    Column("explanation", _STRING, "why, in the evaluator's words"),
    Column("source", _STRING, "code, llm or human", is_required=True),
    Column("time_unix_ns", _INT, "when it was judged, ns since the epoch", is_required=True),
    Column("received_unix_ns", _INT, "when it was accepted: the newest of the same key wins", is_required=True),
    Column("response_id", _STRING, "gen_ai.response.id of the answer judged: tells the trace where no trace id does"),
)


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema of `columns`, with the schema version in its metadata."""
    # Imported here: 90 ms and 50 MB that an instrumented application pays on the writer's thread only.
    import pyarrow as pa

    types: dict[ColumnType, pa.DataType] = {
        ColumnType.STRING: pa.string(),
        ColumnType.INT: pa.int64(),
        ColumnType.FLOAT: pa.float64(),
        ColumnType.BOOL: pa.bool_(),
        ColumnType.STRING_MAP: pa.map_(pa.string(), pa.string()),
    }
    fields = [pa.field(column.name, types[column.type], nullable=not column.is_required) for column in columns]
    return pa.schema(fields, metadata={"tracecanary.schema_version": str(SCHEMA_VERSION)})
