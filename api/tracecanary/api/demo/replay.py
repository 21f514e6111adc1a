"""Replaying recorded runs through the OpenTelemetry SDK, as the agent's own instrumentation would have traced them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TypedDict

from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NoOpTracer, Span, Status, StatusCode, Tracer, format_trace_id

from tracecanary.api.demo import attributes as names
from tracecanary.api.demo.ids import RunIdGenerator, run_trace_id
from tracecanary.api.demo.recorded import RecordedRun
from tracecanary.api.demo.run_spans import SpanFacts, call_spans, pair_id, root_span
from tracecanary.collector import canary_context
from tracecanary.schema import ConfigurationError

SERVICE_NAME = "tau2-agent"
SCOPE_NAME = "tracecanary.demo"
OUTCOME_NAME = "task_reward"


class Outcome(TypedDict):
    """A recorded outcome as `POST /v1/evaluations` takes it."""

    trace_id: str
    span_id: None
    name: str
    version: str
    score: float
    label: None
    passed: bool
    explanation: None
    source: Literal["code"]
    time: str


def replay_tracer_provider() -> TracerProvider:
    """Return the tracer provider to replay with; span processors and the shutdown are the caller's.

    It takes nothing from the environment that would change the traces: every run is sampled whole, and the resource is
    the recorded service alone. No `service.version`: the source records none.
    """
    unlimited = SpanLimits.UNSET
    return TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource({names.SERVICE_NAME: SERVICE_NAME}),
        id_generator=RunIdGenerator(),
        span_limits=SpanLimits(
            max_span_attributes=unlimited, max_attribute_length=unlimited, max_span_attribute_length=unlimited
        ),
    )


def replay_runs(
    runs: Iterable[RecordedRun], *, tracer_provider: TracerProvider, on_run: Callable[[], None] = lambda: None
) -> None:
    """Replay every run as one trace with its recorded times.

    Replaying twice gives the same trace and span ids. One replay at a time with one provider.

    Args:
        runs: Recorded runs.
        tracer_provider: From `replay_tracer_provider`, with the processors that should see the spans.
        on_run: Called after each run. The replay is faster than any application: a processor with a bounded queue
            drops spans unless it is flushed here now and then.

    Raises:
        ConfigurationError: The provider would give its own trace ids, which the outcomes could not be joined by; or the
            environment switches OpenTelemetry off, and nothing would be traced.
    """
    ids = tracer_provider.id_generator
    if not isinstance(ids, RunIdGenerator):
        raise ConfigurationError(["the tracer provider gives random ids. Use the one of replay_tracer_provider()"])
    tracer = tracer_provider.get_tracer(SCOPE_NAME)
    if isinstance(tracer, NoOpTracer):
        raise ConfigurationError(["OpenTelemetry is switched off by OTEL_SDK_DISABLED. Unset it to replay"])
    for run in runs:
        ids.begin_run(run.run_id)
        with _no_context(), canary_context(cohort=run.cohort, pair_id=pair_id(run)):
            _replay_run(run, tracer)
        on_run()


def outcomes(runs: Iterable[RecordedRun]) -> list[Outcome]:
    """Return the recorded outcome of every run, judged at its recorded end, in the order of `runs`."""
    return [
        Outcome(
            trace_id=format_trace_id(run_trace_id(run.run_id)),
            span_id=None,
            name=OUTCOME_NAME,
            version="1",
            score=run.reward,
            label=None,
            passed=run.passed,
            explanation=None,
            source="code",
            time=run.ended_at.isoformat(),
        )
        for run in runs
    ]


@contextmanager
def _no_context() -> Iterator[None]:
    """Step out of the caller's own span and baggage: a recorded run is a root, whoever replays it."""
    token = context.attach(context.Context())
    try:
        yield
    finally:
        context.detach(token)


def _replay_run(run: RecordedRun, tracer: Tracer) -> None:
    facts = root_span(run)
    root = _started(facts, tracer)
    with trace.use_span(root):
        for call in call_spans(run):
            _end(_started(call, tracer), call)
    _end(root, facts)


def _started(facts: SpanFacts, tracer: Tracer) -> Span:
    return tracer.start_span(facts.name, kind=facts.kind, attributes=facts.attributes, start_time=facts.start_unix_ns)


def _end(span: Span, facts: SpanFacts) -> None:
    if facts.error_type is not None:
        span.set_attribute(names.ERROR_TYPE, facts.error_type)
        span.set_status(Status(StatusCode.ERROR))
    span.end(end_time=facts.end_unix_ns)
