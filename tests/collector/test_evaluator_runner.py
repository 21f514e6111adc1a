"""Evaluators in the application: off its threads, for a limited time, and never in its way."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer, format_trace_id

from tracecanary.collector import (
    CanarySpanProcessor,
    EvaluationResult,
    Evaluator,
    EvaluatorSettings,
    JsonSchemaEvaluator,
    JudgedSpan,
    RefusalEvaluator,
    ToolPermissionEvaluator,
)
from tracecanary.collector.evaluators.cpu_budget import CpuBudget
from tracecanary.schema import ConfigurationError, LakeTable, landing_segments

Row = dict[str, Any]
DEADLINE_S = 20.0
LLM = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4.1"}


class App:
    """An application with a processor of ours."""

    def __init__(self, lake: Path, *evaluators: Any, **settings: Any) -> None:
        settings = {"max_cpu_share": 100.0, **settings}
        self.lake = lake
        self.processor = CanarySpanProcessor(
            lake, flush_interval_s=3600, evaluators=evaluators, evaluator_settings=EvaluatorSettings(**settings)
        )
        self.provider = TracerProvider()
        self.provider.add_span_processor(self.processor)
        self.tracer: Tracer = self.provider.get_tracer("app")

    def answer(self, text: str = "It is sunny in Paris.", **attributes: Any) -> str:
        """Trace one model call in a trace of its own and return the trace id."""
        span = self.tracer.start_span(
            "chat",
            attributes=LLM | {"output.value": text} | {name.replace("__", "."): v for name, v in attributes.items()},
        )
        span.end()
        return format_trace_id(span.get_span_context().trace_id)

    def evaluations(self) -> list[Row]:
        assert self.processor.force_flush()
        paths = landing_segments(self.lake, LakeTable.EVALUATIONS)
        return [row for path in paths for row in pq.read_table(path).to_pylist()]


Start = Callable[..., App]


@pytest.fixture
def start(lake: Path) -> Iterator[Start]:
    apps: list[App] = []

    def start(*evaluators: Any, **settings: Any) -> App:
        apps.append(App(lake, *evaluators, **settings))
        return apps[-1]

    yield start
    for app in apps:
        app.provider.shutdown()


def test_verdicts_are_stored_and_the_content_is_not(start: Start, lake: Path) -> None:
    threads = set()

    def polite(judged: JudgedSpan) -> EvaluationResult:
        threads.add(threading.get_ident())
        return EvaluationResult(passed="please" in (judged.output_text or ""), explanation="the words")

    app = start(polite, RefusalEvaluator())

    trace_id = app.answer("A secret, please.")

    rows = {row["name"]: row for row in app.evaluations()}
    assert {name: row["passed"] for name, row in rows.items()} == {"polite": True, "refusal": True}
    assert {row["trace_id"] for row in rows.values()} == {trace_id}
    assert {(row["source"], row["version"], row["explanation"]) for row in rows.values()} == {("code", "1", None)}
    (path,) = landing_segments(lake, LakeTable.SPANS)
    (span,) = pq.read_table(path).to_pylist()
    assert {row["span_id"] for row in rows.values()} == {span["span_id"]}
    assert rows["polite"]["time_unix_ns"] == span["start_unix_ns"] + span["duration_ns"]
    assert "secret" not in str(span)
    assert threading.get_ident() not in threads


def test_content_is_dropped_once_it_is_judged(start: Start) -> None:
    app = start(RefusalEvaluator(), Evaluator(judge=lambda _: 1 / 0, name="failing"))
    trace_ids = {app.answer() for _ in range(5)}
    assert app.processor.force_flush()

    gc.collect()
    held = [one for one in gc.get_objects() if isinstance(one, JudgedSpan) and one.trace_id in trace_ids]
    assert held == []


def test_only_spans_of_the_wanted_kind_are_judged(start: Start) -> None:
    seen: list[str] = []
    app = start(Evaluator(judge=lambda judged: seen.append(judged.kind), name="kinds", kinds=("tool", "agent")))

    app.answer()
    app.tracer.start_span("execute_tool search", attributes=LLM | {"gen_ai.operation.name": "execute_tool"}).end()
    app.tracer.start_span("GET /").end()
    app.tracer.start_span("invoke_agent a", attributes=LLM | {"gen_ai.operation.name": "invoke_agent"}).end()

    assert app.evaluations() == []
    assert seen == ["tool", "agent"]
    assert app.processor.dropped_evaluations == {}


def test_traces_are_sampled_by_their_id_alone(start: Start) -> None:
    rare = Evaluator(judge=lambda _: True, name="rare", sample_rate=0.1)
    app = start(Evaluator(judge=lambda _: True, name="common"), rare, sample_rate=0.5)

    trace_ids = [app.answer() for _ in range(400)]

    judged = {(row["name"], row["trace_id"]) for row in app.evaluations()}
    for name, rate in (("common", 0.5), ("rare", 0.1)):
        sampled = {trace_id for trace_id in trace_ids if int(trace_id, 16) % 2**64 < rate * 2**64}
        assert {trace_id for known, trace_id in judged if known == name} == sampled


def test_an_evaluator_that_takes_too_long_gives_none_and_holds_up_no_other(start: Start) -> None:
    goes_on, has_returned = threading.Event(), threading.Event()

    def slow(_: JudgedSpan) -> bool:
        goes_on.wait(DEADLINE_S)
        has_returned.set()
        return False

    app = start(Evaluator(judge=slow, name="slow", time_limit_s=0.05), RefusalEvaluator())
    for _ in range(3):
        app.answer()

    assert [row["name"] for row in app.evaluations()] == ["refusal"] * 3
    # Its thread can't be stopped, so it is not called again before it is back.
    assert app.processor.dropped_evaluations == {"timeout": 1, "stuck": 2}

    goes_on.set()
    assert has_returned.wait(DEADLINE_S)
    assert [row["name"] for row in app.evaluations()] == ["refusal"] * 3  # what came late is thrown away


def test_an_evaluator_that_is_back_is_called_again(start: Start) -> None:
    goes_on = threading.Event()
    threads: list[threading.Thread] = []

    def slow_once(_: JudgedSpan) -> bool:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            goes_on.wait(DEADLINE_S)
        return True

    app = start(Evaluator(judge=slow_once, name="slow_once", time_limit_s=1))
    app.answer()
    assert app.evaluations() == []

    goes_on.set()
    threads[0].join(DEADLINE_S)
    app.answer()

    assert [row["passed"] for row in app.evaluations()] == [True]
    assert app.processor.dropped_evaluations == {"timeout": 1}


def test_the_application_never_waits_for_an_evaluator(start: Start) -> None:
    goes_on = threading.Event()
    app = start(
        Evaluator(judge=lambda _: goes_on.wait(DEADLINE_S), name="stuck", time_limit_s=DEADLINE_S), max_pending_spans=2
    )

    began_s = time.monotonic()
    for _ in range(50):
        app.answer()
    took_s = time.monotonic() - began_s
    goes_on.set()

    assert took_s < DEADLINE_S / 4
    assert len(app.evaluations()) + app.processor.dropped_evaluations["queue_full"] == 50
    assert app.processor.dropped_evaluations["queue_full"] >= 46


@pytest.mark.parametrize(
    ("result", "counted"),
    [
        pytest.param(ValueError("x"), "error", id="exception"),
        pytest.param(SystemExit(1), "error", id="exit"),
        pytest.param(RecursionError(), "error", id="recursion"),
        pytest.param(object(), "invalid_result", id="no-verdict"),
        pytest.param(10**400, "invalid_result", id="score-without-end"),
    ],
)
def test_an_evaluator_that_fails_gives_none_and_is_counted(
    start: Start, caplog: pytest.LogCaptureFixture, result: object, counted: str
) -> None:
    def failing(_: JudgedSpan) -> Any:
        if isinstance(result, BaseException):
            raise result
        return result

    app = start(Evaluator(judge=failing, name="failing"), RefusalEvaluator())
    with caplog.at_level(logging.WARNING):
        app.answer()
        app.answer()

        assert [row["name"] for row in app.evaluations()] == ["refusal"] * 2
    assert app.processor.dropped_evaluations == {counted: 2}
    assert caplog.text.count("failing gave no evaluation") == 1


@pytest.mark.parametrize(
    ("limit", "reason"),
    [({"max_content_bytes": 5_000}, "content_too_large"), ({"max_pending_bytes": 5_000}, "memory_full")],
)
def test_content_beyond_a_limit_is_not_held(start: Start, limit: dict[str, int], reason: str) -> None:
    app = start(RefusalEvaluator(), **limit)

    app.answer("x" * 10_000)
    app.answer("short")

    assert len(app.evaluations()) == 1
    assert app.processor.dropped_evaluations == {reason: 1}


def test_long_answers_are_judged_whole(start: Start) -> None:
    app = start(JsonSchemaEvaluator({"type": "array", "minItems": 30_000}))

    app.answer(str(list(range(30_000))))

    assert [(row["passed"], row["label"]) for row in app.evaluations()] == [(True, "valid")]


def test_evaluators_that_use_up_their_share_of_the_processor_pause(start: Start) -> None:
    def busy(_: JudgedSpan) -> bool:
        until_s = time.thread_time() + 0.02
        while time.thread_time() < until_s:
            pass
        return True

    app = start(busy, max_cpu_share=0.001)
    for _ in range(20):
        app.answer()

    judged = len(app.evaluations())
    assert 1 <= judged <= 10
    assert app.processor.dropped_evaluations == {"budget": 20 - judged}


def test_budget_fills_with_time_up_to_ten_seconds_worth() -> None:
    budget = CpuBudget(0.1, now_s=100)
    budget.spend(1.5, now_s=100)

    assert not budget.is_left(now_s=105)
    assert budget.is_left(now_s=105.01)
    budget.spend(1.0, now_s=10_000)
    assert not budget.is_left(now_s=10_000)
    assert budget.is_left(now_s=10_000.1)


def test_spans_of_evaluators_are_not_judged(start: Start) -> None:
    judged: list[str] = []
    app: App

    def asks_a_model(span: JudgedSpan) -> bool:
        judged.append(span.name)
        app.answer("Yes.")
        return True

    app = start(asks_a_model)
    app.answer()

    assert len(app.evaluations()) == 1
    assert judged == ["chat"]


def test_agent_is_that_of_the_nearest_span_that_names_one(start: Start) -> None:
    seen: list[str | None] = []

    def remember(judged: JudgedSpan) -> bool:
        seen.append(judged.agent)
        return True

    permission = ToolPermissionEvaluator({"support": ["lookup"]})
    app = start(Evaluator(judge=remember, name="agent", kinds=("tool",)), permission)
    tool = LLM | {"gen_ai.operation.name": "execute_tool"}
    with app.tracer.start_as_current_span(
        "invoke_agent", attributes={"gen_ai.operation.name": "invoke_agent"}
    ) as agent:
        agent.set_attribute("gen_ai.agent.name", "support")
        with app.tracer.start_as_current_span("step"):
            app.tracer.start_span("tool", attributes=tool | {"gen_ai.tool.name": "refund"}).end()
    app.tracer.start_span("tool", attributes=tool | {"gen_ai.tool.name": "refund"}).end()

    rows = {row["name"]: row for row in app.evaluations() if row["name"] != "agent"}
    assert seen == ["support", None]
    assert [(row["passed"], row["label"]) for row in rows.values()] == [(False, "forbidden")]


def test_shutdown_judges_what_waits_and_keeps_its_time(lake: Path) -> None:
    goes_on = threading.Event()
    app = App(lake, RefusalEvaluator())
    app.answer()
    assert app.processor.shutdown()
    app.answer()
    assert [row["name"] for row in read_all(lake)] == ["refusal"]
    assert app.processor.dropped_evaluations == {"already_shutdown": 1}

    stuck = App(lake, Evaluator(judge=lambda _: goes_on.wait(DEADLINE_S), name="stuck", time_limit_s=DEADLINE_S))
    for _ in range(3):
        stuck.answer()
    began_s = time.monotonic()
    assert not stuck.processor.shutdown(1_000)
    took_s = time.monotonic() - began_s
    goes_on.set()

    assert took_s < DEADLINE_S / 4
    assert stuck.processor.dropped_evaluations["not_judged"] >= 2


def read_all(lake: Path) -> list[Row]:
    return [row for path in landing_segments(lake, LakeTable.EVALUATIONS) for row in pq.read_table(path).to_pylist()]


def test_a_log_handler_that_waits_does_not_hold_up_the_application(start: Start) -> None:
    is_logging, may_go_on, is_answered = threading.Event(), threading.Event(), threading.Event()

    class Waiting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "took longer" in record.getMessage():
                is_logging.set()
                may_go_on.wait(DEADLINE_S)

    app = start(Evaluator(judge=lambda _: may_go_on.wait(DEADLINE_S), name="slow", time_limit_s=0.01))
    handler = Waiting()
    logging.getLogger("tracecanary").addHandler(handler)
    try:
        app.answer()
        assert is_logging.wait(DEADLINE_S)

        def answer() -> None:
            app.answer()
            is_answered.set()

        request = threading.Thread(target=answer)
        request.start()

        assert is_answered.wait(DEADLINE_S / 4)
    finally:
        may_go_on.set()
        logging.getLogger("tracecanary").removeHandler(handler)
    request.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_judges_its_own_spans(start: Start, lake: Path) -> None:
    app = start(RefusalEvaluator())
    app.answer()
    app.evaluations()

    child = os.fork()
    if child == 0:
        app.answer()
        os._exit(0 if app.processor.force_flush(10_000) else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert len({row["trace_id"] for row in read_all(lake)}) == 2


def test_settings_that_cannot_work_are_refused_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        EvaluatorSettings(sample_rate=1.5, time_limit_s=0, max_cpu_share=float("nan"), max_pending_spans=0)

    assert [problem.split()[0] for problem in caught.value.problems] == [
        "sample_rate",
        "time_limit_s",
        "max_cpu_share",
        "max_pending_spans",
    ]
