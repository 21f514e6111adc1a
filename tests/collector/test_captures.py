"""Real captures of real libraries, against what the server behind them counted.

The rules of a trace that are needed to count are written here a second time, in plain Python.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tracecanary.collector.normalise import span_row
from tracecanary.collector.otlp import spans_from_json, spans_from_protobuf
from tracecanary.schema import SPAN_COLUMNS

CAPTURES = Path(__file__).parent / "testdata" / "captures"
MANIFEST: dict[str, dict[str, Any]] = {
    capture["name"]: capture for capture in json.loads((CAPTURES / "manifest.json").read_text())["captures"]
}
NAMES = sorted(MANIFEST)
CALLS = {"llm", "embedding"}
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens")
SERVER_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")

# What the source leaves out or gets wrong, so that no reader can do better: (capture, model) -> column -> what is left.
# Null is "not reported by any call".
GAPS: dict[tuple[str, str], dict[str, int | None]] = {
    # Adds reasoning tokens to an output that has them already.
    ("google-adk", "gpt-canary"): {"output_tokens": 79},
    # One stream without usage, and calls of the responses API have no span.
    ("openai-v2-default", "gpt-canary"): {"input_tokens": 430, "output_tokens": 101},
    ("strands", "gpt-canary"): {"reasoning_tokens": None},
    ("traceloop-openai", "gpt-canary"): {"reasoning_tokens": 16},
    ("openinference-openai-agents", "flaky1-gpt"): {"cache_read_tokens": None, "reasoning_tokens": None},
}
# Libraries that report no cached or reasoning tokens at all.
WITHOUT_DETAILS = {"openai-v2-default", "openai-v2-httpx-baggage", "traceai-langchain"}
# Calls without a span.
MISSING_CALLS = {("openai-v2-default", "gpt-canary"): 1}
# Failed attempts that no span shows: the client's SDK sent the request again by itself.
HIDDEN_FAILURES: dict[tuple[str, str], int] = {
    ("litellm-otel", "flaky2-gpt"): 1,
    ("litellm-otel-request-span", "flaky2-gpt"): 1,
    ("openai-v2-default", "flaky2-gpt"): 2,
    ("openai-v2-httpx-baggage", "flaky2-gpt"): 2,
    ("openinference-langchain", "flaky1-gpt"): 1,
    ("openinference-openai", "flaky1-gpt"): 1,
    ("openinference-openai-agents", "flaky1-gpt"): 1,
    ("pydantic-ai-duplicate-export", "flaky1-gpt"): 1,
    ("traceai-langchain", "flaky1-gpt"): 1,
    ("traceloop-openai", "flaky1-gpt"): 1,
    ("vercel-ai-sdk-legacy", "flaky1-gpt"): 1,
}
KINDS: dict[str, dict[str, int]] = {
    "google-adk": {"llm": 2, "tool": 1, "agent": 1, "chain": 1},
    "litellm-otel": {"llm": 6, "attempt": 4},
    "litellm-otel-request-span": {"llm": 6, "attempt": 4, "other": 1},
    "openai-v2-default": {"llm": 6, "embedding": 1, "other": 1},
    "openai-v2-httpx-baggage": {"llm": 3, "other": 11},
    "openinference-langchain": {"llm": 9, "chain": 5, "tool": 1, "agent": 1},
    "openinference-openai": {"llm": 6, "tool": 1, "evaluator": 1, "agent": 1},
    "openinference-openai-agents": {"llm": 3, "chain": 5, "tool": 1, "agent": 3, "guardrail": 1},
    "pydantic-ai-duplicate-export": {"llm": 4, "attempt": 1, "agent": 3, "tool": 1, "other": 1},
    "strands": {"llm": 2, "chain": 2, "tool": 1, "agent": 1},
    "traceai-langchain": {"llm": 9, "chain": 5, "tool": 1, "agent": 1},
    "traceloop-openai": {"llm": 6, "tool": 1, "agent": 1, "chain": 2},
    "vercel-ai-sdk-legacy": {"llm": 5, "agent": 4, "tool": 1, "other": 1},
}
CONVENTIONS = {
    "google-adk": "google_adk",
    "litellm-otel": "litellm",
    "litellm-otel-request-span": "litellm",
    "openai-v2-default": "otel_genai_1_36",
    "openai-v2-httpx-baggage": "otel_genai_1_36",
    "openinference-langchain": "openinference",
    "openinference-openai": "openinference",
    "openinference-openai-agents": "openinference",
    "pydantic-ai-duplicate-export": "pydantic_ai",
    "strands": "strands",
    "traceai-langchain": "traceai",
    "traceloop-openai": "traceloop",
    "vercel-ai-sdk-legacy": "vercel_ai_sdk_legacy",
}

Row = dict[str, Any]


@cache
def rows_of(name: str) -> tuple[Row, ...]:
    """Return the rows of a capture, each span once."""
    rows = [_row(span) for span in spans_from_protobuf((CAPTURES / f"{name}.otlp.pb").read_bytes())]
    return tuple({(row["trace_id"], row["span_id"]): row for row in rows}.values())


def _row(span: Any) -> Row:
    return dict(zip((column.name for column in SPAN_COLUMNS), span_row(span), strict=True))


def effective_kinds(rows: tuple[Row, ...]) -> dict[str, str]:
    """Return the kind of each span: an attempt below a call of its own scope is no call, any other one is."""
    by_id = {row["span_id"]: row for row in rows}
    kinds = {}
    for row in rows:
        kind = row["kind"]
        if kind == "attempt":
            parent = by_id.get(row["parent_span_id"])
            is_folded = parent and parent["kind"] == "llm" and parent["scope_name"] == row["scope_name"]
            kind = "attempt" if is_folded else "llm"
        kinds[row["span_id"]] = kind
    return kinds


def token_leaves(rows: tuple[Row, ...]) -> list[Row]:
    """Return the spans whose tokens count: those with tokens that have no other one below them."""
    kinds = effective_kinds(rows)
    bearing = [
        row
        for row in rows
        if (row["input_tokens"] is not None or row["output_tokens"] is not None) and kinds[row["span_id"]] != "attempt"
    ]
    parents = {row["span_id"]: row["parent_span_id"] for row in rows}
    above = set()
    for row in bearing:
        span_id = row["parent_span_id"]
        while span_id is not None:
            above.add(span_id)
            span_id = parents.get(span_id)
    return [row for row in bearing if row["span_id"] not in above]


def by_model(rows: list[Row], column: str) -> dict[str, int | None]:
    """Return the sum of a column by model; None where no call reports it."""
    models = {row["model"] for row in rows}
    reported = {model: [row[column] for row in rows if row["model"] == model] for model in models}
    return {
        model: sum(value for value in values if value is not None) if any(v is not None for v in values) else None
        for model, values in reported.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_protobuf_and_json_of_a_capture_give_the_same_rows(name: str) -> None:
    from_protobuf = [_row(span) for span in spans_from_protobuf((CAPTURES / f"{name}.otlp.pb").read_bytes())]

    from_json = [_row(span) for span in spans_from_json((CAPTURES / f"{name}.json").read_bytes())]

    assert from_json == from_protobuf
    assert len(from_protobuf) == MANIFEST[name]["spans"]


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_spans(name: str) -> None:
    assert Counter(row["kind"] for row in rows_of(name)) == KINDS[name]


@pytest.mark.parametrize("name", NAMES)
def test_convention_and_scope_are_recorded_for_every_call(name: str) -> None:
    calls = [row for row in rows_of(name) if row["kind"] in CALLS]

    assert {row["convention"] for row in calls} == {CONVENTIONS[name]}
    assert all(row["scope_name"] for row in calls)


@pytest.mark.parametrize("name", NAMES)
def test_tokens_by_model_are_what_the_server_counted(name: str) -> None:
    truth = MANIFEST[name]["server_truth"]["by_request_model"]
    leaves = token_leaves(rows_of(name))
    answering = {model: counts for model, counts in truth.items() if counts["ok"]}

    for column, server_column in zip(TOKENS, SERVER_TOKENS, strict=True):
        counted = by_model(leaves, column)
        for model, counts in answering.items():
            expected = GAPS.get((name, model), {}).get(column, counts[server_column])
            if name in WITHOUT_DETAILS and column in TOKENS[2:]:
                expected = None
            if counts[server_column] == 0:
                assert not counted[model]
                continue
            assert (model, column, counted[model]) == (model, column, expected)
    assert set(by_model(leaves, "input_tokens")) == set(answering)


@pytest.mark.parametrize("name", NAMES)
def test_calls_and_failures_by_model_are_what_the_server_saw(name: str) -> None:
    truth = MANIFEST[name]["server_truth"]["by_request_model"]
    kinds = effective_kinds(rows_of(name))
    requests = [row for row in rows_of(name) if kinds[row["span_id"]] in CALLS | {"attempt"}]
    failed = Counter(row["model"] for row in requests if row["status"] == "error")
    answered = Counter(row["model"] for row in requests if kinds[row["span_id"]] in CALLS and row["status"] != "error")

    for model, counts in truth.items():
        failures = counts["http_429"] + counts["http_5xx"] - HIDDEN_FAILURES.get((name, model), 0)
        assert (model, failed[model]) == (model, failures)
        assert (model, answered[model]) == (model, counts["ok"] - MISSING_CALLS.get((name, model), 0))
    assert set(failed) | set(answered) <= set(truth)


@pytest.mark.parametrize("name", NAMES)
def test_failures_have_the_class_of_the_servers_status(name: str) -> None:
    truth = MANIFEST[name]["server_truth"]["by_request_model"]
    failed = [row for row in rows_of(name) if row["kind"] in {"llm", "attempt"} and row["status"] == "error"]

    for row in failed:
        expected = "rate_limit" if truth[row["model"]]["http_429"] else "server"
        assert (row["model"], row["error_class"]) == (row["model"], expected)
        assert row["error_type"]
    assert all(row["error_class"] is None for row in rows_of(name) if row["status"] != "error")


@pytest.mark.parametrize("name", [name for name in NAMES if MANIFEST[name]["expect"].get("tools")])
def test_tools_are_named_where_they_have_a_span(name: str) -> None:
    tools = {row["tool_name"] for row in rows_of(name) if row["kind"] == "tool"}

    # The instrumentation of OpenAI's client traces no tools.
    assert tools == (set() if name == "openai-v2-default" else set(MANIFEST[name]["expect"]["tools"]))


@pytest.mark.parametrize(
    ("name", "column", "values"),
    [
        ("google-adk", "conversation_id", {"98dfc5e9-666e-4105-9259-cb6a57fc0734"}),
        ("google-adk", "agent_name", {"weather_agent"}),
        ("openai-v2-default", "conversation_id", {"sess-1"}),
        ("openai-v2-default", "user_id", {"user-7"}),
        ("openai-v2-default", "variant", {"canary"}),
        ("openai-v2-default", "route", {"/chat"}),
        ("openai-v2-httpx-baggage", "cohort", {"control", "canary"}),
        ("openai-v2-httpx-baggage", "variant", {"control", "canary"}),
        ("openinference-langchain", "cohort", {"canary"}),
        ("openinference-langchain", "conversation_id", {"sess-3"}),
        ("openinference-langchain", "user_id", {"user-3"}),
        ("openinference-langchain", "agent_name", {"weather_agent"}),
        ("openinference-langchain", "step", {1, 2, 3}),
        ("openinference-openai", "prompt_version", {"v7"}),
        ("openinference-openai", "cohort", {"canary"}),
        ("openinference-openai-agents", "agent_name", {"triage", "weather_specialist", "weather-workflow"}),
        ("pydantic-ai-duplicate-export", "cohort", {"canary"}),
        ("pydantic-ai-duplicate-export", "agent_name", {"weather_agent", "fallback_agent", "retry_agent"}),
        ("strands", "cohort", {"canary"}),
        ("strands", "provider", set()),
        ("strands", "user_id", {"user-10"}),
        ("strands", "time_to_first_token_ns", {2_501_000_000, 61_000_000}),
        ("traceai-langchain", "cohort", {"canary"}),
        ("traceai-langchain", "step", {1, 2, 3}),
        ("traceai-langchain", "step_source", {"framework"}),
        ("traceai-langchain", "step_name", {"model", "tools"}),
        ("traceloop-openai", "cohort", {"canary"}),
        ("traceloop-openai", "conversation_id", {"sess-5"}),
        ("traceloop-openai", "user_id", {"user-5"}),
        ("traceloop-openai", "agent_name", {"weather_agent"}),
        ("vercel-ai-sdk-legacy", "provider", {"openai"}),
        ("vercel-ai-sdk-legacy", "route", {"/chat"}),
        ("vercel-ai-sdk-legacy", "time_to_first_token_ns", {154_520_035}),
        ("litellm-otel", "route", {"primary", "canary", "flaky"}),
        ("litellm-otel", "reported_cost_nano_usd", {39_300, 35_250}),
        ("litellm-otel", "fallback_used", {True, False}),
    ],
)
def test_context_of_a_capture_is_read(name: str, column: str, values: set[Any]) -> None:
    assert {row[column] for row in rows_of(name)} - {None} == values


def test_retries_of_litellms_router_are_read_from_its_own_count() -> None:
    retries = [row["retry_count"] for row in rows_of("litellm-otel") if row["retry_count"]]

    assert retries == [MANIFEST["litellm-otel"]["expect"]["retries"]]


def test_scrubbed_session_is_no_conversation() -> None:
    [root] = [row for row in rows_of("pydantic-ai-duplicate-export") if row["parent_span_id"] is None]

    assert root["conversation_id"] is None


@pytest.mark.parametrize("name", NAMES)
def test_no_prompt_or_answer_of_a_capture_is_kept(name: str) -> None:
    for row in rows_of(name):
        text = str(row)
        assert "sunny" not in text
        assert "Weather in Paris" not in text
