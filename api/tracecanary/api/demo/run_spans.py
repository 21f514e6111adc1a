"""The spans that a recorded run becomes. What is derived and what is left out: `data/README.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from opentelemetry.trace import SpanKind

from tracecanary.api.demo import attributes as names
from tracecanary.api.demo.recorded import Greeting, LlmCall, RecordedRun, ToolCall

_PROVIDER = "openai"
_STARTED_AFTER_RECORD = "derived:end_of_previous_record"
_STARTED_WITH_RUN = "derived:start_of_run"
# The one termination that is a failure of the agent. Running into max_steps is an outcome: the reward judges it.
_FAILED_TERMINATION = "too_many_errors"
# 48 bits: no two of a hundred task names meet, and a task name of 222 characters stays out of the baggage header.
_PAIR_DIGITS = 12

SpanAttributes = Mapping[str, str | int | float | tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFacts:
    """What one span says. Times are ns since the Unix epoch; `error_type` is None when nothing failed."""

    name: str
    kind: SpanKind
    attributes: SpanAttributes
    start_unix_ns: int
    end_unix_ns: int
    error_type: str | None = None


def pair_id(run: RecordedRun) -> str:
    """Return the id that joins the runs of both models on the same task, trial and seed."""
    task = f"{run.task_id}\n{run.trial}\n{run.seed}"
    return f"{run.cohort}/{sha256(task.encode()).hexdigest()[:_PAIR_DIGITS]}"


def root_span(run: RecordedRun) -> SpanFacts:
    """Return the agent's span. It names no model and no tokens: those belong to the calls."""
    return SpanFacts(
        name=f"invoke_agent {run.harness}",
        kind=SpanKind.INTERNAL,
        attributes={
            names.OPERATION_NAME: "invoke_agent",
            names.AGENT_NAME: run.harness,
            names.PROVIDER_NAME: _PROVIDER,
            names.CONVERSATION_ID: run.run_id,
            names.RECORDED_TASK_ID: run.task_id,
            names.RECORDED_DOMAIN: run.domain,
            names.RECORDED_TRIAL: run.trial,
            names.RECORDED_SEED: run.seed,
            names.RECORDED_TERMINATION: run.termination,
            names.RECORDED_END: run.ended_at.isoformat(),
        },
        start_unix_ns=run.start_unix_ns,
        end_unix_ns=run.end_unix_ns,
        error_type=_FAILED_TERMINATION if run.termination == _FAILED_TERMINATION else None,
    )


def call_spans(run: RecordedRun) -> Iterator[SpanFacts]:
    """Yield the spans below the root, in recorded order."""
    start_ns, started, step = run.start_unix_ns, _STARTED_WITH_RUN, 0
    for call in run.calls:
        end_ns = run.start_unix_ns + call.end_ns
        times = _Times(start_unix_ns=start_ns, end_unix_ns=end_ns, origin=started)
        match call:
            case LlmCall(actor="agent"):
                step += 1  # a step is one model call and the tools it asked for
                yield _chat_span(run, call, times, step)
            case ToolCall(actor="agent"):
                yield _tool_span(call, times, step)
            case LlmCall():
                yield _user_span("user turn", times)
            case ToolCall():
                yield _user_span(f"user tool {call.name}", times)
            case Greeting():
                pass  # nothing was called, so no span; the next record still starts where it ended
        start_ns, started = end_ns, _STARTED_AFTER_RECORD


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    start_unix_ns: int
    end_unix_ns: int
    origin: str


def _chat_span(run: RecordedRun, call: LlmCall, times: _Times, step: int) -> SpanFacts:
    attributes: dict[str, str | int | float | tuple[str, ...]] = {
        names.OPERATION_NAME: "chat",
        names.PROVIDER_NAME: _PROVIDER,
        names.REQUEST_MODEL: run.model,
        names.INPUT_TOKENS: call.input_tokens,
        names.OUTPUT_TOKENS: call.output_tokens,
        names.STEP: step,
        names.START_TIME_ORIGIN: times.origin,
    }
    if call.requested_tools:  # otherwise why the model stopped is not recorded
        attributes[names.FINISH_REASONS] = ("tool_calls",)
    if run.cost_usd is not None:  # the calls of an unpriced model say 0.0
        attributes[names.COST_USD] = call.cost_usd
    return SpanFacts(
        name=f"chat {run.model}",
        kind=SpanKind.CLIENT,
        attributes=attributes,
        start_unix_ns=times.start_unix_ns,
        end_unix_ns=times.end_unix_ns,
    )


def _tool_span(call: ToolCall, times: _Times, step: int) -> SpanFacts:
    return SpanFacts(
        name=f"execute_tool {call.name}",
        kind=SpanKind.INTERNAL,
        attributes={
            names.OPERATION_NAME: "execute_tool",
            names.TOOL_NAME: call.name,
            names.TOOL_ARGUMENTS: call.arguments_hash,
            names.STEP: step,
            names.START_TIME_ORIGIN: times.origin,
        },
        start_unix_ns=times.start_unix_ns,
        end_unix_ns=times.end_unix_ns,
        error_type="tool_error" if call.has_failed else None,
    )


def _user_span(name: str, times: _Times) -> SpanFacts:
    # Played by another model, but no part of what is judged: no gen_ai attribute, so no tokens, cost or arm.
    return SpanFacts(
        name=name,
        kind=SpanKind.INTERNAL,
        attributes={names.RECORDED_ROLE: "user", names.START_TIME_ORIGIN: times.origin},
        start_unix_ns=times.start_unix_ns,
        end_unix_ns=times.end_unix_ns,
    )
