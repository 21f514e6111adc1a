from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from tracecanary.api.demo import RecordedRun, outcomes, replay_runs, replay_tracer_provider
from tracecanary.collector import CanarySpanProcessor
from tracecanary.schema import ConfigurationError

BASE = "gpt-4.1"
CANDIDATE = "ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm"
# Computed from the source with pandas, numpy and scipy, apart from this code: LLM calls, input tokens, output tokens,
# tool calls, tool errors of the agent.
TRUTH = {
    (BASE, "airline"): (206, 994_898, 16_536, 148, 1),
    (BASE, "retail"): (476, 2_425_565, 30_486, 299, 12),
    (BASE, "telecom"): (620, 4_701_015, 45_153, 207, 0),
    (BASE, "telecom-solo"): (606, 5_237_511, 11_701, 626, 2),
    (CANDIDATE, "airline"): (248, 1_277_560, 16_829, 147, 1),
    (CANDIDATE, "retail"): (531, 2_731_756, 33_435, 292, 23),
    (CANDIDATE, "telecom"): (1013, 9_749_306, 37_043, 656, 10),
    (CANDIDATE, "telecom-solo"): (629, 5_427_058, 10_486, 589, 0),
}
TRUTH_COST_USD = {"airline": 0.783268, "retail": 1.888618, "telecom": 3.11103, "telecom-solo": 3.03263}


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


def operation(span: ReadableSpan) -> object:
    return attribute(span, "gen_ai.operation.name")


def chosen(spans: Sequence[ReadableSpan], wanted: str) -> list[ReadableSpan]:
    return [span for span in spans if operation(span) == wanted]


def key(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def trace_id(span: ReadableSpan) -> str:
    return format_trace_id(key(span)[0])


def total(spans: Sequence[ReadableSpan], name: str) -> int:
    values = [attribute(span, name) for span in spans]
    assert all(isinstance(value, int) for value in values)
    return sum(value for value in values if isinstance(value, int))


def replay(
    runs: Sequence[RecordedRun], *, on_run: Callable[[], None] = lambda: None, lake: Path | None = None
) -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = replay_tracer_provider()
    if lake is not None:
        provider.add_span_processor(CanarySpanProcessor(lake=lake))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    replay_runs(runs, tracer_provider=provider, on_run=on_run)
    provider.shutdown()
    return exporter.get_finished_spans()


def test_every_run_is_one_trace_with_a_span_for_each_call(spans: Sequence[ReadableSpan]) -> None:
    assert len({trace_id(span) for span in spans}) == 280
    assert Counter(operation(span) for span in spans) == {
        "invoke_agent": 280,
        "chat": 4329,
        "execute_tool": 2964,
        None: 3473,  # the user's 2571 turns and 902 tools
    }


def test_tokens_and_calls_of_each_arm_and_cohort_equal_the_recorded_ones(
    runs: list[RecordedRun], spans: Sequence[ReadableSpan]
) -> None:
    groups = {row["trace_id"]: (run.model, run.cohort) for run, row in zip(runs, outcomes(runs), strict=True)}
    grouped: defaultdict[tuple[str, str], list[ReadableSpan]] = defaultdict(list)
    for span in spans:
        grouped[groups[trace_id(span)]].append(span)

    counted = {
        group: (
            len(chats := chosen(members, "chat")),
            total(chats, "gen_ai.usage.input_tokens"),
            total(chats, "gen_ai.usage.output_tokens"),
            len(tools := chosen(members, "execute_tool")),
            sum(attribute(span, "error.type") == "tool_error" for span in tools),
        )
        for group, members in grouped.items()
    }

    assert counted == TRUTH
    for (model, _), members in grouped.items():
        assert {attribute(span, "gen_ai.request.model") for span in chosen(members, "chat")} == {model}


def test_only_the_priced_model_reports_a_cost(runs: list[RecordedRun], spans: Sequence[ReadableSpan]) -> None:
    cohorts = {row["trace_id"]: run.cohort for run, row in zip(runs, outcomes(runs), strict=True)}
    costs: defaultdict[str, float] = defaultdict(float)
    for span in spans:
        cost = attribute(span, "gen_ai.cost.total")
        if attribute(span, "gen_ai.request.model") == BASE:
            assert isinstance(cost, float)
            costs[cohorts[trace_id(span)]] += cost
        else:
            assert cost is None

    assert costs == pytest.approx(TRUTH_COST_USD, abs=1e-6)
    assert sum(costs.values()) == pytest.approx(8.815546, abs=1e-9)


def test_roots_last_as_long_as_recorded_and_name_no_model(
    runs: list[RecordedRun], spans: Sequence[ReadableSpan]
) -> None:
    durations = {row["trace_id"]: run.duration_ns for run, row in zip(runs, outcomes(runs), strict=True)}
    roots = [span for span in spans if span.parent is None]

    assert len(roots) == 280
    for root in roots:
        assert root.start_time is not None
        assert root.end_time is not None
        assert root.end_time - root.start_time == durations[trace_id(root)]
        assert operation(root) == "invoke_agent"
        assert not any("model" in name or "tokens" in name for name in root.attributes or {})


def test_calls_follow_one_another_below_their_root(spans: Sequence[ReadableSpan]) -> None:
    roots = {trace_id(span): span for span in spans if span.parent is None}
    previous_end = {key: root.start_time for key, root in roots.items()}
    late_ns = 0
    for span in spans:
        if span.parent is None:
            continue
        root = roots[trace_id(span)]
        assert span.parent.span_id == key(root)[1]
        previous = previous_end[trace_id(span)]
        assert span.start_time is not None
        assert span.end_time is not None
        assert root.end_time is not None
        assert previous is not None
        assert previous <= span.start_time <= span.end_time
        previous_end[trace_id(span)] = span.end_time
        late_ns = max(late_ns, span.end_time - root.end_time)

    assert late_ns == 5_000_000  # the source rounds each time to milliseconds by itself


def test_derived_start_says_so(spans: Sequence[ReadableSpan]) -> None:
    origins = Counter(attribute(span, "tau2.start_time") for span in spans)

    assert origins == {
        None: 280,  # the roots: their start is recorded
        "derived:start_of_run": 80,  # telecom-solo begins with the agent's call, the others with a greeting
        "derived:end_of_previous_record": 4329 + 2964 + 3473 - 80,
    }


def test_user_simulator_is_told_apart_from_the_agent(spans: Sequence[ReadableSpan]) -> None:
    users = [span for span in spans if attribute(span, "tau2.role") == "user"]

    assert Counter(span.name.partition(" tool ")[0] for span in users) == {"user turn": 2571, "user": 902}
    assert {name for span in users for name in span.attributes or {}} == {"tau2.role", "tau2.start_time"}
    assert all(span.kind is SpanKind.INTERNAL for span in users)


def test_failed_tools_and_the_run_stopped_for_errors_are_the_only_errors(spans: Sequence[ReadableSpan]) -> None:
    errors = Counter((operation(span), attribute(span, "error.type")) for span in spans if not span.status.is_ok)

    assert errors == {("execute_tool", "tool_error"): 49, ("invoke_agent", "too_many_errors"): 1}
    assert {span.status.status_code for span in spans if span.status.is_ok} == {StatusCode.UNSET}
    roots = [span for span in spans if span.parent is None]
    assert Counter(attribute(span, "tau2.termination") for span in roots) == {
        "user_stop": 194,
        "agent_stop": 80,
        "max_steps": 5,
        "too_many_errors": 1,
    }


def test_model_call_and_the_tools_it_asked_for_share_a_step(spans: Sequence[ReadableSpan]) -> None:
    steps: defaultdict[str, int] = defaultdict(int)
    for span in spans:
        if operation(span) == "chat":
            steps[trace_id(span)] += 1
            assert span.kind is SpanKind.CLIENT
        if operation(span) in {"chat", "execute_tool"}:
            assert attribute(span, "agent.trajectory.step") == steps[trace_id(span)]


def test_finish_reason_is_given_only_where_tools_were_asked_for(spans: Sequence[ReadableSpan]) -> None:
    reasons = Counter(attribute(span, "gen_ai.response.finish_reasons") for span in chosen(spans, "chat"))

    assert reasons == {("tool_calls",): 2720, None: 1609}


def test_spans_name_the_service_and_no_release(spans: Sequence[ReadableSpan]) -> None:
    assert {tuple(span.resource.attributes.items()) for span in spans} == {(("service.name", "tau2-agent"),)}
    assert {scope.name for span in spans if (scope := span.instrumentation_scope) is not None} == {"tracecanary.demo"}


def test_replaying_twice_gives_the_same_ids(runs: list[RecordedRun], spans: Sequence[ReadableSpan]) -> None:
    again = [key(span) for span in replay(runs)]

    assert again == [key(span) for span in spans]
    assert len(set(again)) == len(spans)


def test_cohort_and_pair_reach_every_span(runs: list[RecordedRun], tmp_path: Path) -> None:
    task = max(runs, key=lambda run: len(run.task_id)).task_id
    pair = [run for run in runs if run.task_id == task and run.cohort == "telecom"]

    spans = replay(pair, lake=tmp_path)

    assert {run.model for run in pair} == {BASE, CANDIDATE}
    assert {attribute(span, "release.cohort") for span in spans} == {"telecom"}
    (pair_id,) = {attribute(span, "release.pair_id") for span in spans}
    assert str(pair_id).startswith("telecom/")
    assert len(str(pair_id)) == len("telecom/") + 12


def test_every_pair_id_joins_one_run_of_each_model(runs: list[RecordedRun], tmp_path: Path) -> None:
    spans = replay(runs, lake=tmp_path)

    pairs = Counter(attribute(span, "release.pair_id") for span in spans if span.parent is None)
    assert len(pairs) == 140
    assert set(pairs.values()) == {2}


def test_callers_span_and_baggage_stay_out_of_the_traces(runs: list[RecordedRun], tmp_path: Path) -> None:
    caller = TracerProvider().get_tracer("caller")

    with caller.start_as_current_span("cli") as outer:
        token = context.attach(baggage.set_baggage("release.variant", "b"))
        spans = replay(runs[:1], lake=tmp_path)
        context.detach(token)

    assert [span.name for span in spans if span.parent is None] == ["invoke_agent llm_agent"]
    assert {attribute(span, "release.variant") for span in spans} == {None}
    assert isinstance(outer, ReadableSpan)
    assert dict(outer.attributes or {}) == {}


def test_callback_follows_each_run(runs: list[RecordedRun]) -> None:
    calls = []

    replay(runs[:3], on_run=lambda: calls.append("run"))

    assert calls == ["run"] * 3


def test_provider_with_random_ids_is_refused(runs: list[RecordedRun]) -> None:
    with pytest.raises(ConfigurationError, match="replay_tracer_provider"):
        replay_runs(runs[:1], tracer_provider=TracerProvider())


def test_sdk_switched_off_is_an_error_and_no_silent_nothing(
    runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    with pytest.raises(ConfigurationError, match="OTEL_SDK_DISABLED"):
        replay(runs[:1])


def test_environment_of_the_caller_does_not_change_the_traces(
    runs: list[RecordedRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [span.to_json() for span in replay(runs[:2])]
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "2")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=9")

    assert [span.to_json() for span in replay(runs[:2])] == expected


def test_outcomes_are_the_recorded_verdicts_of_the_replayed_traces(
    runs: list[RecordedRun], spans: Sequence[ReadableSpan]
) -> None:
    rows = outcomes(runs)

    failed = Counter(run.model for run, row in zip(runs, rows, strict=True) if not row["passed"])
    assert failed == {BASE: 58, CANDIDATE: 29}
    assert {row["trace_id"] for row in rows} == {trace_id(span) for span in spans}
    assert all(row["score"] == float(row["passed"]) for row in rows)


def test_outcome_has_the_shape_of_an_evaluation(runs: list[RecordedRun]) -> None:
    (row,) = outcomes(runs[:1])

    assert row == {
        "trace_id": "28d6660633c6fbbf7d8e13d6edb9b8f8",
        "span_id": None,
        "name": "task_reward",
        "version": "1",
        "score": 1.0,
        "label": None,
        "passed": True,
        "explanation": None,
        "source": "code",
        "time": "2025-08-01T16:21:03.551551+00:00",
    }
