"""Traces that need no closer look get the same facts as under one."""

import random
from pathlib import Path
from typing import Any

from tests.analytics.derivation import deriving_engine
from tests.analytics.fact_reference import FIRST_NS, Record
from tests.analytics.fact_traces import make_trace, settings_of
from tests.analytics.lake import write_spans

TRACES = 300


def test_facts_are_those_of_a_close_look_at_every_trace(tmp_path: Path) -> None:
    rng = random.Random(5)  # noqa: S311  # a test, no secret
    made = [_trace(rng, number) if number % 8 else make_trace(rng, number)[0] for number in range(TRACES)]
    write_spans(tmp_path, [span for spans in made for span in spans])

    quick, close = (_derived(tmp_path, closely=closely) for closely in (False, True))

    assert quick["live_facts_v1"] == close["live_facts_v1"]
    assert quick["live_trace_models_v1"] == close["live_trace_models_v1"]
    assert quick["live_responses_v1"] == close["live_responses_v1"]
    assert TRACES / 3 < len(quick["ordinary_facts_v2"]) < TRACES * 2 / 3
    assert close["ordinary_facts_v2"] == []


def _derived(lake: Path, *, closely: bool) -> dict[str, list[dict[str, Any]]]:
    with deriving_engine(lake, closely=closely, settings=settings_of(lake)) as engine:
        queries = ("live_facts_v1", "live_trace_models_v1", "live_responses_v1", "ordinary_facts_v2")
        return {query: sorted(engine.rows(query), key=str) for query in queries}


def _trace(rng: random.Random, number: int) -> list[Record]:
    """Return the spans of a trace that mostly is ordinary, with this or that which is not."""
    model = rng.choice(["base", "candidate", "gpt-4.1"])
    everywhere: dict[str, Any] = {
        "trace_id": f"{rng.getrandbits(128):032x}",
        "cohort": rng.choice(["shop", None]),
        "prompt_name": rng.choice(["greeting", None, None]),
        "pair_id": rng.choice([f"pair-{number % 7}", None, None]),
        "start_unix_ns": FIRST_NS + rng.randrange(10**15),
        "attributes": rng.choice([{}, {"app.plan": "gold"}]),
        "convention": rng.choice(["otel_genai", None]),
        "scope_name": rng.choice(["openai", None]),
        "dropped_attributes": rng.choice([0, 0, 2]),
        "sampling_probability": rng.choice([None, 0.25]),
    }
    bears = rng.random() < 0.9
    spans: list[Record] = [
        {**everywhere, "span_id": "0", "parent_span_id": None, "kind": "agent", "duration_ns": 10**9}
    ]
    for place in range(1, rng.randint(1, 6)):
        span = {
            **everywhere,
            "span_id": str(place),
            "parent_span_id": "0" if rng.random() < 0.95 else rng.choice(["1", "gone"]),
            "start_unix_ns": everywhere["start_unix_ns"] + place,
            "duration_ns": rng.randrange(10**9),
            "user_id": rng.choice(["ann", None]),
            "kind": rng.choice(["llm", "llm", "tool"]),
            "step": rng.choice([*[None] * 20, 1, 2]),
            "step_source": rng.choice([None, "framework"]),
        }
        spans.append({**span, **(_call(rng, model, bears=bears) if span["kind"] == "llm" else _tool(rng))})
    return spans[1:] if rng.random() < 0.1 else spans


def _call(rng: random.Random, model: str, *, bears: bool) -> Record:
    return {
        "model": model if rng.random() < 0.98 else "other",
        "input_tokens": rng.choice([100, 10**12, None]) if bears else None,
        "output_tokens": 10 if bears else None,
        "cache_read_tokens": rng.choice([None, 50]) if bears else None,
        "reasoning_tokens": rng.choice([*[None] * 30, 5]),
        "reported_cost_nano_usd": rng.choice([None, 0, 700]) if model != "candidate" else None,
        "finish_reason": rng.choice(["stop", "length", "refusal", "content_filter"]),
        "time_to_first_token_ns": rng.choice([None, None, 5]),
        "response_id": f"r{rng.getrandbits(64)}",
        "retry_count": rng.choice([None, None, *[0] * 20, 1]),
        "retry_source": rng.choice([*[None] * 30, "http_children"]),
        "fallback_used": rng.choice([None, None, *[False] * 30, True]),
    }


def _tool(rng: random.Random) -> Record:
    return {
        "tool_name": "search",
        "tool_arguments_hash": rng.choice([None, "a", "b", "c"]),
        "tool_version": rng.choice([None, None, "1", "2"]),
        "status": rng.choice(["error", "unset", "unset"]),
        "error_class": rng.choice(["timeout", None]),
    }
