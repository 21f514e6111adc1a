"""Columns and rows are two ways to the same values: whatever spans hold, both give the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collector.test_hostile_values import ATTRIBUTES, EVENTS, NAMES, SCALARS, SCOPES

from tracecanary.collector.captured import CapturedEvent, CapturedSpan
from tracecanary.collector.models import ModelRules
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.otlp import spans_from_protobuf
from tracecanary.collector.rules import Rules
from tracecanary.collector.segments import segment_table, storable_rows
from tracecanary.collector.span_tables import span_table
from tracecanary.schema import SPAN_COLUMNS, CohortDimension, DimensionSource

CAPTURES = Path(__file__).parent / "testdata" / "captures"
NAMED = [capture["name"] for capture in json.loads((CAPTURES / "manifest.json").read_text())["captures"]]
ENOUGH = 30  # for columns
PLAIN = CapturedSpan(
    trace_id=1,
    span_id=1,
    parent_span_id=None,
    name="chat",
    kind=3,
    start_ns=1_000,
    end_ns=3_000,
    status_code=0,
    attributes={"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"},
    events=(),
    resource={"service.name": "app"},
    scope_name="",
    scope_version=None,
    is_sampled=True,
    trace_state="",
    dropped_attributes=0,
)


def by_columns(spans: list[CapturedSpan], normaliser: Normaliser | None = None) -> list[dict[str, Any]]:
    return _sorted(span_table(spans, normaliser or Normaliser()).to_pylist())


def by_rows(spans: list[CapturedSpan], normaliser: Normaliser | None = None) -> list[dict[str, Any]]:
    used = normaliser or Normaliser()
    rows = [used.row(span) for span in spans if span.is_valid]
    return _sorted(segment_table(SPAN_COLUMNS, storable_rows(SPAN_COLUMNS, rows) if rows else []).to_pylist())


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["span_id"], repr(row)))


def numbered(span: CapturedSpan, count: int) -> list[CapturedSpan]:
    return [span._replace(span_id=number + 1) for number in range(count)]


@pytest.mark.parametrize("capture", NAMED)
def test_every_capture_gives_the_same_by_columns_and_by_rows(capture: str) -> None:
    bodies = sorted((CAPTURES / capture).rglob("*.pb")) or sorted(CAPTURES.glob(f"{capture}*.pb"))
    spans = [span for body in bodies if "logs" not in body.name for span in spans_from_protobuf(body.read_bytes())]
    assert spans
    repeated = [span._replace(span_id=span.span_id % 2**32 + copy * 2**32) for span in spans for copy in range(ENOUGH)]

    assert by_columns(repeated) == by_rows(repeated)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_spans_of_one_shape_give_the_same_by_columns_and_by_rows(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(NAMES) | st.text(max_size=8), max_size=12, unique=True))
    values = st.fixed_dictionaries(dict.fromkeys(names, SCALARS))
    kind = data.draw(st.integers(-1, 7))
    scope = data.draw(st.sampled_from(SCOPES))
    spans = _spans(data, values, kind=kind, scope=scope)

    assert repr(by_columns(spans)) == repr(by_rows(spans))


def _spans(data: st.DataObject, values: st.SearchStrategy[Any], *, kind: int, scope: str) -> list[CapturedSpan]:
    drawn = [data.draw(values) for _ in range(6)]
    events = data.draw(EVENTS)
    return [
        PLAIN._replace(
            span_id=number + 1,
            parent_span_id=number or None,
            attributes=drawn[number % len(drawn)],
            name=("chat", "step 3", "execute_tool x", "ai.toolCall", "\ud800")[number % 5],
            kind=kind,
            scope_name=scope,
            status_code=(0, 1, 1, 2, 9)[number % 5],
            events=tuple(CapturedEvent(*event) for event in events) if number % 7 == 0 else (),
            trace_state=("", "ot=th:8", "a=b")[number % 3],
            dropped_attributes=number % 2,
        )
        for number in range(ENOUGH * 2)
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(ATTRIBUTES, min_size=1, max_size=4))
def test_hostile_attributes_take_no_other_span_with_them(hostile: list[dict[str, Any]]) -> None:
    spans = numbered(PLAIN, ENOUGH) + [
        PLAIN._replace(span_id=1_000 + number, attributes=attributes, resource=attributes)
        for number, attributes in enumerate(hostile)
    ]

    rows = by_columns(spans)

    assert [row["span_id"] for row in rows][:ENOUGH] == [f"{number + 1:016x}" for number in range(ENOUGH)]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"span_id": 0}, id="no span id"),
        pytest.param({"trace_id": 2**128}, id="trace id too long"),
        pytest.param({"start_ns": -1}, id="negative time"),
        pytest.param({"end_ns": 2**70}, id="time too late"),
    ],
)
def test_spans_that_are_part_of_no_trace_are_left_out(broken: dict[str, Any]) -> None:
    spans = [*numbered(PLAIN, ENOUGH), PLAIN._replace(**{"span_id": 99, **broken})]

    assert len(by_columns(spans)) == ENOUGH


def test_zero_and_minus_zero_stay_apart() -> None:
    spans = [
        PLAIN._replace(span_id=number + 1, attributes={"app.share": 0.0 if number % 2 else -0.0})
        for number in range(ENOUGH)
    ]

    assert {dict(row["attributes"])["app.share"] for row in by_columns(spans)} == {"0.0", "-0.0"}


def test_values_that_are_equal_and_of_different_types_stay_apart() -> None:
    spans = [
        PLAIN._replace(span_id=number + 1, attributes={"app.flag": (True, 1, 1.0, math.nan)[number % 4]})
        for number in range(ENOUGH)
    ]

    assert {dict(row["attributes"])["app.flag"] for row in by_columns(spans)} == {"true", "1", "1.0", "nan"}


def test_the_rules_of_an_installation_hold_by_columns_too() -> None:
    rules = Rules(
        models=ModelRules(aliases={"m": "model"}), feature_flags=frozenset({"wanted"}), cohort_tags={"gold": "gold"}
    )
    spans = [
        PLAIN._replace(
            span_id=number + 1,
            attributes={
                **PLAIN.attributes,
                "feature_flag.key": ("wanted", "other")[number % 2],
                "feature_flag.result.variant": "b",
                "tag.tags": ("gold", "silver")[number % 2],
            },
        )
        for number in range(ENOUGH)
    ]
    used = Normaliser(rules)

    assert by_columns(spans, used) == by_rows(spans, used)
    assert {(row["model"], row["variant"], row["cohort"]) for row in by_columns(spans, used)} == {
        ("model", "b", "gold"),
        ("model", None, None),
    }


def test_dimensions_of_an_installation_are_kept_whatever_else_they_are() -> None:
    dimensions = (
        CohortDimension("plan", DimensionSource.ATTRIBUTE, "app.plan"),
        CohortDimension("asked", DimensionSource.ATTRIBUTE, "gen_ai.request.model"),
        CohortDimension("tenant", DimensionSource.BAGGAGE, "tenant"),
        CohortDimension("region", DimensionSource.RESOURCE, "cloud.region"),
        CohortDimension("zone", DimensionSource.RESOURCE, "cloud.zone"),
    )
    forged = {"resource.cloud.region": "forged", "tenant": 7}
    spans = [
        PLAIN._replace(
            span_id=number + 1,
            attributes={
                **PLAIN.attributes,
                "app.plan": ("two words", "[Scrubbed due to 'auth']")[number % 2],
                **forged,
            },
            resource={"service.name": "app", "cloud.region": "eu"},
        )
        for number in range(ENOUGH)
    ]
    used = Normaliser(Rules(dimensions=dimensions))

    assert by_columns(spans, used) == by_rows(spans, used)
    always = {"resource.cloud.region": "eu", "gen_ai.request.model": "m", "tenant": "7"}
    kept = [dict(row["attributes"]) for row in by_columns(spans, used)]
    assert kept[:2] == [{**always, "app.plan": "two words"}, always]


def test_a_fallback_is_from_the_model_by_its_canonical_name() -> None:
    attributes = {**PLAIN.attributes, "gen_ai.fallback.from": "azure/tuned-7"}
    spans = [PLAIN._replace(span_id=number + 1, attributes=attributes) for number in range(ENOUGH)]
    used = Normaliser(Rules(models=ModelRules(aliases={"tuned-*": "tuned"})))

    assert by_columns(spans, used) == by_rows(spans, used)
    assert {row["fallback_from"] for row in by_columns(spans, used)} == {"tuned"}


def test_no_spans_are_an_empty_table() -> None:
    assert by_columns([]) == []
