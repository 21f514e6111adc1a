from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.trace import Tracer

from tracecanary.collector import CanarySpanProcessor, canary_context

Capture = tuple[CanarySpanProcessor, Tracer]
Stored = Callable[[], list[dict[str, Any]]]


def cohorts(capture: Capture, stored: Stored) -> dict[str, str | None]:
    assert capture[0].force_flush()
    return {row["name"]: row["cohort"] for row in stored()}


def test_canary_context_marks_the_current_span_and_those_inside_but_none_after_it(
    capture: Capture, stored: Stored
) -> None:
    _, tracer = capture

    with tracer.start_as_current_span("root"):
        with canary_context(cohort="eu"):
            tracer.start_span("inside").end()
        tracer.start_span("after").end()

    assert cohorts(capture, stored) == {"root": "eu", "inside": "eu", "after": None}


def test_canary_context_carries_cohort_variant_and_pair(capture: Capture, stored: Stored) -> None:
    processor, tracer = capture

    with canary_context(cohort="eu", variant="canary", pair_id="task-7"):
        tracer.start_span("chat").end()
    processor.force_flush()

    (row,) = stored()
    assert (row["cohort"], row["variant"], row["pair_id"]) == ("eu", "canary", "task-7")


def test_nested_canary_context_wins_inside_and_ends_there(capture: Capture, stored: Stored) -> None:
    _, tracer = capture

    with canary_context(cohort="outer"):
        with canary_context(cohort="inner"):
            tracer.start_span("inside").end()
        tracer.start_span("outside").end()

    assert cohorts(capture, stored) == {"inside": "inner", "outside": "outer"}


def test_canary_context_of_concurrent_tasks_stay_apart(capture: Capture, stored: Stored) -> None:
    _, tracer = capture
    both_are_inside = asyncio.Barrier(2)

    async def request(cohort: str) -> None:
        with tracer.start_as_current_span(f"root {cohort}"), canary_context(cohort=cohort):
            await both_are_inside.wait()
            tracer.start_span(f"chat {cohort}").end()

    async def serve() -> None:
        await asyncio.gather(request("eu"), request("us"))

    asyncio.run(serve())

    assert cohorts(capture, stored) == {"root eu": "eu", "chat eu": "eu", "root us": "us", "chat us": "us"}


@pytest.fixture
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecanary.collector.context._told", set())


@pytest.mark.usefixtures("nothing_told")
@pytest.mark.parametrize("cohort", ["", "x" * 257, "a\nb", "\ud800", 5, ["eu"]])
def test_invalid_value_is_left_out_with_a_warning_and_the_others_stay(
    capture: Capture, stored: Stored, caplog: pytest.LogCaptureFixture, cohort: Any
) -> None:
    processor, tracer = capture

    with tracer.start_as_current_span("root"), canary_context(cohort=cohort, variant="canary"):
        pass
    processor.force_flush()

    (row,) = stored()
    assert (row["cohort"], row["variant"]) == (None, "canary")
    (message,) = caplog.messages
    assert message.startswith("release.cohort was left out: it must be printable text of 1 to 256 characters, and is ")


@pytest.mark.usefixtures("nothing_told")
def test_each_invalid_value_is_told_once_and_of_thousands_only_some(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        for length in (300, 400):
            with canary_context(variant="x" * length):
                pass
    of_two = list(caplog.messages)

    for length in range(500, 1500):
        with canary_context(variant="x" * length):
            pass

    assert [length in message for length, message in zip(("300 ", "400 "), of_two, strict=True)] == [True, True]
    assert len(caplog.messages) == 100


def test_exception_passes_through_canary_context_and_ends_it(capture: Capture) -> None:
    with pytest.raises(KeyError), canary_context(cohort="eu"):
        raise KeyError

    assert baggage.get_baggage("release.cohort") is None


def test_canary_context_works_without_any_span() -> None:
    with canary_context(cohort="eu"):
        assert baggage.get_baggage("release.cohort") == "eu"


def test_value_that_raises_does_not_reach_the_application() -> None:
    class Unreadable(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise RuntimeError("no length")

    with canary_context(cohort=Unreadable("eu")):
        assert baggage.get_baggage("release.cohort") is None
