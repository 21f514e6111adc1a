"""Captures of real libraries through the whole path, against what the server that they called had counted itself."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tracecanary.analytics.comparison import compare
from tracecanary.analytics.listings import ModelRow, list_models
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.store import Store
from tracecanary.analytics.traces import explain_trace, list_traces
from tracecanary.analytics.trajectory import compare_trajectories
from tracecanary.collector.ingest import decode_otlp_file, store_spans

CAPTURES = Path(__file__).parents[1] / "collector" / "testdata" / "captures"
NAMES = sorted(path.name.removesuffix(".otlp.pb") for path in CAPTURES.glob("*.otlp.pb"))

# Input and output tokens that the spans themselves have wrong or lack; the server counted others.
GAPS: dict[tuple[str, str], tuple[int, int | None]] = {
    ("google-adk", "gpt-canary"): (310, 79),  # the library adds reasoning to an output that includes it
    ("openai-v2-default", "text-embedding-3-small"): (12, None),  # an embedding has no output to count
    ("openai-v2-default", "gpt-canary"): (430, 101),  # a stream without usage, and an API it does not instrument
}
# Retries and fallbacks by model that spans show; what an SDK resends inside one span nobody sees.
RETRIES = {
    ("litellm-otel", "flaky2-gpt"): 2,
    ("litellm-otel-request-span", "flaky2-gpt"): 2,
    ("openai-v2-httpx-baggage", "flaky2-gpt"): 2,
    ("openinference-langchain", "flaky2-gpt"): 2,
    ("traceai-langchain", "flaky2-gpt"): 2,
}
FALLBACKS = {
    "litellm-otel-request-span": ("down-gpt", "gpt-4o-mini"),
    "openinference-langchain": ("down-gpt", "gpt-stable"),
    "pydantic-ai-duplicate-export": ("down-gpt", "gpt-stable"),
    "traceai-langchain": ("down-gpt", "gpt-stable"),
    "traceloop-openai": ("down-gpt", "gpt-stable"),
}


@pytest.fixture(scope="module", params=NAMES)
def capture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def store(capture: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    lake = tmp_path_factory.mktemp("lake")
    body = (CAPTURES / f"{capture}.otlp.pb").read_bytes()
    store_spans(lake, decode_otlp_file(body))
    store_spans(lake, decode_otlp_file(body))  # delivered twice, as an exporter that retries does
    return Store(lake)


@pytest.fixture(scope="module")
def models(store: Store) -> dict[str, ModelRow]:
    return {row.model: row for row in list_models(store)}


@pytest.fixture
def counted(capture: str) -> dict[str, dict[str, Any]]:
    manifest = json.loads((CAPTURES / "manifest.json").read_text(encoding="utf-8"))
    (made,) = [entry for entry in manifest["captures"] if entry["name"] == capture]
    by_model: dict[str, dict[str, Any]] = made["server_truth"]["by_request_model"]
    return by_model


def test_every_model_that_was_asked_for_is_listed_and_no_other(
    models: dict[str, ModelRow], counted: dict[str, dict[str, Any]]
) -> None:
    assert sorted(models) == sorted(counted)


def test_tokens_are_those_the_server_counted(
    capture: str, models: dict[str, ModelRow], counted: dict[str, dict[str, Any]]
) -> None:
    for model, truth in counted.items():
        expected = GAPS.get((capture, model), (truth["input_tokens"], truth["output_tokens"]))
        seen = (models[model].input_tokens, models[model].output_tokens)
        assert seen == (expected if truth["ok"] else (None, None)), model


def test_a_model_that_never_answered_has_its_failure(
    models: dict[str, ModelRow], counted: dict[str, dict[str, Any]]
) -> None:
    failed = {model for model, truth in counted.items() if truth["ok"] == 0}

    assert {model: (models[model].llm_calls, models[model].llm_errors) for model in failed} == dict.fromkeys(
        failed, (1, 1)
    )


def test_retries_and_fallbacks_that_spans_show_are_counted_once(capture: str, models: dict[str, ModelRow]) -> None:
    retries = {(capture, model): row.retries for model, row in models.items() if row.retries}
    left = [model for model, row in models.items() if row.fallbacks_from]
    taken = [model for model, row in models.items() if row.fallbacks_to]

    assert retries == {key: count for key, count in RETRIES.items() if key[0] == capture}
    if capture in FALLBACKS:
        assert (*left, *taken) == FALLBACKS[capture]
    else:
        assert left == []


def test_each_trace_explains_its_tokens_and_together_they_are_those_of_the_models(
    store: Store, models: dict[str, ModelRow]
) -> None:
    found = 0
    for row in list_traces(store, Selection()):
        trace = explain_trace(store, row.trace_id)
        explained = sum(span.input_tokens or 0 for span in trace.spans if span.counted)
        assert trace.facts is not None
        assert explained == (row.input_tokens or 0) == (trace.facts["input_tokens"] or 0)
        found += explained + (trace.facts["judge_input_tokens"] or 0)

    assert found == sum(model.input_tokens or 0 for model in models.values())


def test_comparisons_and_trajectories_are_of_the_listed_traces(store: Store) -> None:
    rows = list_traces(store, Selection())
    of_arm = {arm: [row for row in rows if row.arm == arm] for arm in sorted({row.arm for row in rows})}

    for arms in itertools.pairwise(of_arm):
        question = Question(selection=Selection(arms=arms))
        counts, trajectory = compare(store, question).answer.overall, compare_trajectories(store, question)
        calls = [one for one in trajectory.places if (one.dimension, one.place, one.cohort) == ("kind", "llm", None)]
        listed = tuple(len(of_arm[arm]) for arm in arms)
        assert (counts.traces.base, counts.traces.candidate) == tuple(trajectory.of_traces.values()) == listed
        errors = {row.metric: row for row in counts.metrics}["error_rate"]
        assert (errors.base.value, errors.candidate.value) == tuple(
            sum(row.error for row in of_arm[arm]) / len(of_arm[arm]) for arm in arms
        )
        assert (sum(one.base.calls for one in calls), sum(one.candidate.calls for one in calls)) == tuple(
            sum(row.llm_calls for row in of_arm[arm]) for arm in arms
        )
