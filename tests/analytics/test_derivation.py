"""Retries, fallbacks and arms derived from spans: the order and number of deliveries change nothing."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.derivation import deriving_engine
from tests.analytics.lake import write_spans

from tracecanary.analytics.listings import list_models
from tracecanary.analytics.store import Row, Store
from tracecanary.collector.ingest import decode_otlp_file, store_spans

CAPTURES = Path(__file__).parents[1] / "collector" / "testdata" / "captures"
SPAN_IDS = "abcdef"


@st.composite
def traces(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A few spans with parents among themselves (cycles, too), close enough in time to touch, follow and overlap."""
    size = draw(st.integers(1, len(SPAN_IDS)))
    return [
        {
            "trace_id": "t1",
            "span_id": span_id,
            "parent_span_id": draw(st.none() | st.sampled_from(SPAN_IDS)),
            "name": draw(st.sampled_from(["chat", "RunnableWithFallbacks"])),
            "kind": draw(st.sampled_from(["llm", "llm", "chain", "agent", "tool", None])),
            "otel_kind": draw(st.sampled_from(["client", "internal"])),
            "model": draw(st.sampled_from(["base", "candidate", None])),
            "status": draw(st.sampled_from(["error", "ok"])),
            "start_unix_ns": draw(st.integers(0, 8)),
            "duration_ns": draw(st.integers(0, 3)),
            "retry_count": draw(st.none() | st.integers(0, 2)),
            "fallback_used": draw(st.none() | st.booleans()),
            "attributes": draw(st.sampled_from([{}, {"http.method": "POST", "http.status_code": "429"}])),
        }
        for span_id in SPAN_IDS[:size]
    ]


def derived(*deliveries: list[dict[str, Any]]) -> dict[str, list[Row]]:
    with tempfile.TemporaryDirectory() as folder:
        for spans in deliveries:
            write_spans(Path(folder), spans)
        with Store(Path(folder)).session() as session:
            return {query: session.rows(query) for query in ("model_traces_v1", "models_v3")}


@settings(max_examples=40, deadline=None)
@given(spans=traces(), data=st.data())
def test_order_and_duplicates_of_spans_change_nothing(spans: list[dict[str, Any]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(spans))
    again = data.draw(st.lists(st.sampled_from(spans), min_size=1))

    assert derived(shuffled, again) == derived(spans)


@settings(max_examples=40, deadline=None)
@given(spans=traces())
def test_every_span_that_asks_belongs_to_one_call(spans: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_spans(Path(folder), spans)
        with deriving_engine(Path(folder), is_thorough=True) as engine:
            attempts, calls = engine.rows("attempts_v2"), engine.rows("calls_v1")
            facts = engine.rows("trace_facts_v3")

    span_ids = [row["span_id"] for row in attempts]
    assert len(set(span_ids)) == len(span_ids)
    assert sorted({row["call_id"] for row in attempts}) == sorted(row["call_id"] for row in calls)
    assert sum(row["attempts"] for row in calls) == len(attempts)
    assert len(facts) == any(span["model"] and span["kind"] in ("llm", "agent") for span in spans)
    for fact in facts:
        assert fact["model"] == fact["models"][0]
        assert len(set(fact["models"])) == len(fact["models"])


def test_resends_of_a_recorded_client_are_those_that_the_server_saw(tmp_path: Path) -> None:
    name = "openai-v2-httpx-baggage"
    store_spans(tmp_path, decode_otlp_file((CAPTURES / f"{name}.otlp.pb").read_bytes()))
    captures = json.loads((CAPTURES / "manifest.json").read_text(encoding="utf-8"))["captures"]
    truth = next(made for made in captures if made["name"] == name)["server_truth"]

    models = {row.model: row for row in list_models(Store(tmp_path))}

    assert {model: row.retries for model, row in models.items()} == {
        model: counts["attempts"] - 1 for model, counts in truth["by_request_model"].items()
    }
    assert {(row.llm_calls, row.llm_errors, row.fallbacks_from) for row in models.values()} == {(1, 0, None)}


# What each capture did, apart from resends that the SDK hides in one span (tests/collector/testdata/captures).
@pytest.mark.parametrize(
    ("name", "retries", "fallbacks"),
    [
        ("google-adk", 0, []),
        ("litellm-otel-request-span", 2, [("down-gpt", "gpt-4o-mini")]),
        ("openai-v2-default", 0, []),
        ("openinference-langchain", 2, [("down-gpt", "gpt-stable")]),
        ("openinference-openai", 0, []),
        ("openinference-openai-agents", 0, []),
        ("pydantic-ai-duplicate-export", 0, [("down-gpt", "gpt-stable")]),
        ("strands", 0, []),
        ("traceai-langchain", 2, [("down-gpt", "gpt-stable")]),
        ("traceloop-openai", 0, [("down-gpt", "gpt-stable")]),
        ("vercel-ai-sdk-legacy", 0, []),
    ],
)
def test_captures_of_libraries_show_what_they_did(
    tmp_path: Path, name: str, retries: int, fallbacks: list[tuple[str, str]]
) -> None:
    store_spans(tmp_path, decode_otlp_file((CAPTURES / f"{name}.otlp.pb").read_bytes()))

    with deriving_engine(tmp_path, is_thorough=True) as engine:
        calls = engine.rows("calls_v1")

    assert sum(call["retries"] or 0 for call in calls) == retries
    assert [(call["fallback_from"], call["fallback_to"]) for call in calls if call["is_fallback"]] == fallbacks


@pytest.mark.parametrize("gap_s", [0, 59])
def test_fallback_and_its_cost_count_for_the_arm_asked_first(tmp_path: Path, gap_s: int) -> None:
    call = {"trace_id": "t1", "kind": "llm", "input_tokens": 1, "reported_cost_nano_usd": 5}
    later = gap_s * 1_000_000_000 + 2
    write_spans(
        tmp_path,
        [
            {**call, "span_id": "a", "model": "candidate", "start_unix_ns": 1, "duration_ns": 1, "status": "error"},
            {**call, "span_id": "b", "model": "base", "start_unix_ns": later},
        ],
    )

    with Store(tmp_path).session() as session:
        (facts,) = session.rows("model_traces_v1")

    assert (facts["model"], facts["fallback_to"], facts["cost_nano_usd"]) == ("candidate", "base", 10)
