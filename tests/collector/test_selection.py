from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from tracecanary.collector import CanarySpanProcessor, canary_context
from tracecanary.collector.selection import RememberedTraces, Select
from tracecanary.schema import ConfigurationError

Stored = Callable[[], list[dict[str, Any]]]


def names_kept(lake: Path, stored: Stored, select: Select) -> list[str]:
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(lake, select=select))
    tracer = provider.get_tracer("tests")
    tracer.start_span("unmarked").end()
    with tracer.start_as_current_span("root"):
        tracer.start_span("before").end()
        with canary_context(variant="canary"):
            tracer.start_span("inside").end()
        tracer.start_span("after").end()
    with canary_context(variant="base"):
        tracer.start_span("base").end()
    with tracer.start_as_current_span("by attribute") as span:
        span.set_attribute("tier", 2)
    provider.shutdown()
    return sorted(row["name"] for row in stored())


@pytest.mark.parametrize(
    ("select", "kept"),
    [
        pytest.param("release.variant", ["after", "base", "inside", "root"], id="name"),
        pytest.param({"release.variant": "canary"}, ["after", "inside", "root"], id="value"),
        pytest.param({"release.variant": ["base", "x"]}, ["base"], id="values"),
        pytest.param({"tier": "2"}, ["by attribute"], id="number as text"),
        pytest.param({"tier": 2, "release.variant": "base"}, ["base", "by attribute"], id="either"),
        pytest.param(lambda attributes, baggage: "tier" in attributes, ["by attribute"], id="predicate"),
    ],
)
def test_selected_traces_are_kept_from_the_moment_they_are_selected(
    lake: Path, stored: Stored, select: Select, kept: list[str]
) -> None:
    assert names_kept(lake, stored, select) == kept


def test_predicate_that_fails_keeps_everything(lake: Path, stored: Stored) -> None:
    def fail(*_: object) -> bool:
        raise RuntimeError

    assert len(names_kept(lake, stored, fail)) == 7


@pytest.mark.parametrize("select", ["", {}, 5, {1: 2}])
def test_selection_that_is_none_is_refused(lake: Path, select: Any) -> None:
    with pytest.raises(ConfigurationError, match="select is "):
        CanarySpanProcessor(lake, select=select)


def test_oldest_trace_is_forgotten_first() -> None:
    traces = RememberedTraces(limit=2)

    for trace_id in (1, 2, 3):
        traces.add(trace_id)

    assert [trace_id in traces for trace_id in (1, 2, 3)] == [False, True, True]
