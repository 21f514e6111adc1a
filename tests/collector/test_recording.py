from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, Span, Tracer, use_span

from tracecanary.collector import CanarySpanProcessor, record_fallback, record_retry, trajectory_step

PATIENCE_S = 10.0
STEP = "agent.trajectory.step"
STEP_NAME = "agent.trajectory.step.name"


class Marker(SpanProcessor):
    """Keeps what ended, with what the processor before it marked."""

    def __init__(self) -> None:
        self.ended: dict[str, Mapping[str, Any]] = {}

    def on_end(self, span: ReadableSpan) -> None:
        self.ended[span.name] = dict(span.attributes or {})


@pytest.fixture
def marker() -> Marker:
    return Marker()


@pytest.fixture
def tracer(marker: Marker, tmp_path: Path) -> Iterator[Tracer]:
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(tmp_path))
    provider.add_span_processor(marker)
    yield provider.get_tracer("tests")
    provider.shutdown()


def steps(marker: Marker) -> dict[str, object]:
    return {name: attributes.get(STEP) for name, attributes in marker.ended.items()}


def test_each_retry_adds_one_and_the_last_reason_stays(tracer: Tracer, marker: Marker) -> None:
    with tracer.start_as_current_span("chat"):
        record_retry(reason="rate_limit")
        record_retry(reason="timeout")

    assert marker.ended["chat"] == {"gen_ai.retry.count": 2, "gen_ai.retry.reason": "timeout"}


def test_retries_of_concurrent_threads_are_all_counted(tracer: Tracer, marker: Marker) -> None:
    with tracer.start_as_current_span("chat"), ThreadPoolExecutor(8) as pool:
        carried = [contextvars.copy_context() for _ in range(200)]
        list(pool.map(lambda one: one.run(record_retry), carried))

    assert marker.ended["chat"]["gen_ai.retry.count"] == 200


class SlowSpan(NonRecordingSpan):
    """Is recorded, and waits in the middle of it: calls `in_between` when its attributes are asked for."""

    def __init__(self, in_between: Callable[[], object]) -> None:
        super().__init__(INVALID_SPAN_CONTEXT)
        self._in_between = in_between

    def is_recording(self) -> bool:
        return True

    @property
    def attributes(self) -> Mapping[str, object]:
        self._in_between()
        return {}


def record_retry_on(span: Span) -> None:
    with use_span(span):
        record_retry()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_is_forked_while_a_thread_records_can_record(tracer: Tracer) -> None:
    is_recording, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        is_recording.set()
        may_go_on.wait(PATIENCE_S)

    recorder = threading.Thread(target=record_retry_on, args=(SlowSpan(wait),))
    recorder.start()
    assert is_recording.wait(PATIENCE_S)
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # kills a child that waits for a thread it does not have
        record_retry_on(tracer.start_span("chat"))
        os._exit(0)
    may_go_on.set()
    recorder.join()

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_recording_in_the_middle_of_recording_does_not_wait(tracer: Tracer, marker: Marker) -> None:
    inner = tracer.start_span("inner")
    # As a signal handler or a finaliser does. On a thread of its own, which the test need not wait for.
    nested = threading.Thread(target=record_retry_on, args=(SlowSpan(lambda: record_retry_on(inner)),), daemon=True)

    nested.start()
    nested.join(PATIENCE_S)

    assert not nested.is_alive()
    inner.end()
    assert marker.ended["inner"] == {"gen_ai.retry.count": 1}


def test_a_count_replaces_what_was_recorded(tracer: Tracer, marker: Marker) -> None:
    with tracer.start_as_current_span("chat"):
        record_retry()
        record_retry(count=5)
        record_retry()
    with tracer.start_as_current_span("none"):
        record_retry(count=0)

    assert [marker.ended[name]["gen_ai.retry.count"] for name in ("chat", "none")] == [6, 0]


def test_a_fallback_names_both_models_and_why(tracer: Tracer, marker: Marker) -> None:
    with tracer.start_as_current_span("answer"):
        record_fallback(from_model="candidate", to_model="base", reason="timeout")

    assert marker.ended["answer"] == {
        "gen_ai.fallback.used": True,
        "gen_ai.fallback.from": "candidate",
        "gen_ai.fallback.to": "base",
        "gen_ai.fallback.reason": "timeout",
    }


def test_what_is_recorded_reaches_the_columns(
    capture: tuple[CanarySpanProcessor, Tracer], stored: Callable[[], list[dict[str, Any]]]
) -> None:
    processor, tracer = capture

    with tracer.start_as_current_span("answer"), trajectory_step(3, "plan"):
        record_retry()
        record_fallback(from_model="candidate", to_model="base")
    processor.force_flush()

    (row,) = stored()
    assert (row["retry_count"], row["fallback_used"], row["fallback_from"]) == (1, True, "candidate")
    assert (row["step"], row["step_name"], row["step_source"]) == (3, "plan", "attribute")
    assert row["attributes"]["gen_ai.fallback.to"] == "base"


def test_a_step_marks_the_current_span_and_those_inside_but_none_after_it(tracer: Tracer, marker: Marker) -> None:
    with tracer.start_as_current_span("agent"):
        with trajectory_step(2, "search"), tracer.start_as_current_span("tool"):
            tracer.start_span("http").end()
        tracer.start_span("after").end()

    assert steps(marker) == {"agent": 2, "tool": 2, "http": 2, "after": None}
    assert marker.ended["http"][STEP_NAME] == "search"


def test_steps_without_a_number_count_up_from_one(tracer: Tracer, marker: Marker) -> None:
    with tracer.start_as_current_span("agent"):
        for name in ("first", "second"):
            with trajectory_step(name=name):
                tracer.start_span(name).end()

    assert steps(marker) == {"first": 1, "second": 2, "agent": 2}


def test_a_step_within_a_step_wins_inside_and_ends_there(tracer: Tracer, marker: Marker) -> None:
    with trajectory_step(1, "outer"):
        with trajectory_step(7):
            tracer.start_span("inside").end()
        tracer.start_span("outside").end()

    assert steps(marker) == {"inside": 7, "outside": 1}
    assert STEP_NAME not in marker.ended["inside"]


def test_a_span_that_states_its_step_keeps_it(tracer: Tracer, marker: Marker) -> None:
    with trajectory_step(1, "outer"):
        tracer.start_span("tool", attributes={STEP: 9}).end()

    assert marker.ended["tool"] == {STEP: 9}


def test_steps_of_concurrent_tasks_stay_apart(tracer: Tracer, marker: Marker) -> None:
    both_are_inside = asyncio.Barrier(2)

    async def step(index: int) -> None:
        with trajectory_step(index):
            await both_are_inside.wait()
            tracer.start_span(f"tool {index}").end()

    async def agent() -> None:
        await asyncio.gather(step(1), step(2))

    asyncio.run(agent())

    assert steps(marker) == {"tool 1": 1, "tool 2": 2}


def test_a_thread_has_the_step_that_its_context_carries(tracer: Tracer, marker: Marker) -> None:
    def work(name: str) -> None:
        tracer.start_span(name).end()

    with trajectory_step(4):
        carried = contextvars.copy_context()
        threads = [
            threading.Thread(target=carried.run, args=(work, "carried")),
            threading.Thread(target=work, args=("bare",)),
        ]
        for thread in threads:
            thread.start()
            thread.join()

    assert steps(marker) == {"carried": 4, "bare": None}


def test_an_exception_passes_through_a_step_and_ends_it(tracer: Tracer, marker: Marker) -> None:
    with pytest.raises(KeyError), trajectory_step(1):
        raise KeyError
    tracer.start_span("after").end()

    assert steps(marker) == {"after": None}


@pytest.mark.parametrize("value", [-1, 2**63, True, 1.5, "1", [1], object()])
def test_a_number_that_is_none_is_left_out_with_a_warning(
    tracer: Tracer, marker: Marker, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    with tracer.start_as_current_span("chat"), trajectory_step(value, "plan"):
        record_retry(count=value, reason="timeout")

    assert marker.ended["chat"] == {STEP_NAME: "plan", "gen_ai.retry.reason": "timeout"}
    assert caplog.messages == [
        f"{name} was left out: it must be an integer from 0 on" for name in (STEP, "gen_ai.retry.count")
    ]


@pytest.mark.parametrize("value", ["", "x" * 257, "a\nb", "\ud800", 5, ["base"]])
def test_a_text_that_is_none_is_left_out_with_a_warning(
    tracer: Tracer, marker: Marker, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    with tracer.start_as_current_span("chat"), trajectory_step(1, value):
        record_retry(count=1, reason=value)
        record_fallback(from_model=value, to_model=value, reason=value)

    assert marker.ended["chat"] == {STEP: 1, "gen_ai.retry.count": 1, "gen_ai.fallback.used": True}
    assert len(caplog.messages) == 5


class Hostile:
    """Raises at whatever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize(
    "make", [Hostile, lambda: float("nan"), lambda: b"x", dict], ids=["any", "nan", "bytes", "dict"]
)
def test_no_argument_makes_them_raise(tracer: Tracer, make: Callable[[], Any]) -> None:
    value, is_inside = make(), False

    with tracer.start_as_current_span("chat"):
        record_retry(count=value, reason=value)
        record_fallback(from_model=value, to_model=value, reason=value)
        with trajectory_step(value, value):
            is_inside = True

    assert is_inside


def test_without_a_recorded_span_nothing_is_recorded_or_raised(marker: Marker) -> None:
    before = context.get_current()
    unsampled = TracerProvider(sampler=ALWAYS_OFF)
    unsampled.add_span_processor(marker)

    for _ in range(2):
        record_retry()
        record_fallback(from_model="candidate")
        with trajectory_step(), unsampled.get_tracer("tests").start_as_current_span("chat"):
            record_retry()

    assert marker.ended == {}
    assert context.get_current() == before
    unsampled.shutdown()
