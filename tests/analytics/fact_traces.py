"""Traces as the world sends them: late, twice, in pieces, skewed, sampled, judged again, priced in several ways."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.analytics.fact_reference import FIRST_NS, HOUR_NS, Record

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.prices import PriceBook, read_price_file
from tracecanary.schema import CohortDimension, DimensionSource, OwnMetric, OwnMetricKind, Taking

MINUTE_NS, DAY_NS = 60_000_000_000, 24 * HOUR_NS
# The same prices as in `fact_reference`; gpt-4.1 has a published one, base has none.
PRICE_FILE = """
[[price]]
model = "candidate"
input = 3
cached_input = 0.75
cache_write = 3.75
output = 12
reasoning = 15

[[price.tiers]]
above_input_tokens = 3000
input = 6
output = 18

[[price]]
model = "candidate"
valid_from = 2026-06-03
input = 4
output = 16
"""


def settings_of(folder: Path) -> DerivationSettings:
    """Return the prices and cohort dimensions that the reference knows, too."""
    path = folder / "prices.toml"
    path.write_text(PRICE_FILE)
    return DerivationSettings(
        prices=PriceBook(read_price_file(path)),
        dimensions=(CohortDimension("plan", DimensionSource.ATTRIBUTE, "app.plan"),),
        metrics=(
            OwnMetric(
                name="refund", kind=OwnMetricKind.MEAN, attribute="app.refund", take=Taking.SUM, unit="EUR", margin=1.1
            ),
            OwnMetric(
                name="unsolved",
                kind=OwnMetricKind.RATE,
                attribute="app.solved",
                take=Taking.LAST,
                unit="fraction",
                is_lower_worse=True,
                margin=0.01,
            ),
        ),
    )


def make_trace(rng: random.Random, number: int) -> tuple[list[Record], list[Record]]:
    """Return spans and evaluations of one trace: with or without a root, of several models, some spans days late."""
    start = FIRST_NS + rng.randrange(4 * 24) * HOUR_NS + rng.choice([0, HOUR_NS - 1, rng.randrange(HOUR_NS)])
    has_root = rng.random() < 0.8
    trace = {
        "trace_id": f"{rng.getrandbits(128):032x}",
        "cohort": rng.choice(["shop", "telecom", None]),
        "plan": rng.choice(["gold", "free", None]),
        "user_id": f"user-{number % 17}" if number % 3 else None,
        "sampling_probability": rng.choice([None, None, 1.0, 0.25, 0.1]),
        "parent": f"{number:08x}{0:08x}" if has_root else "f" * 16,
        # The clock of whoever makes the spans below the root.
        "skew": rng.choice([0, 0, 0, 0, -3 * MINUTE_NS, 3 * MINUTE_NS]),
    }
    spans: list[Record] = [
        _span(rng, trace, number, place, start, is_root=place == 0 and has_root) for place in range(rng.randint(1, 6))
    ]
    if rng.random() < 0.1:
        spans += _judge(rng, trace, number, start)
    if rng.random() < 0.3:
        spans += _resent(rng, trace, number, start)
    return spans, [make_evaluation(rng, spans, start, again) for again in range(rng.randint(0, 3))]


def _span(
    rng: random.Random, trace: dict[str, Any], number: int, place: int, start: int, *, is_root: bool
) -> dict[str, Any]:
    kind = "agent" if is_root else rng.choice(["llm", "llm", "tool"])
    late = rng.choice([0, 0, 0, 0, MINUTE_NS, HOUR_NS, 3 * DAY_NS])
    is_call, is_told = kind == "llm", rng.random() < 0.7
    model = rng.choice(["base", "base", "candidate", "gpt-4.1"]) if is_call else None
    bears_tokens = kind != "tool" and rng.random() < 0.9
    has_failed = rng.random() < {"agent": 0.1, "llm": 0.2, "tool": 0.2}[kind]
    return {
        "trace_id": trace["trace_id"],
        "span_id": f"{number:08x}{place:08x}",
        "parent_span_id": None if is_root else trace["parent"],
        "kind": kind,
        "start_unix_ns": start + place * 1000 + late + rng.choice([0, 0, -5_000]) + (0 if is_root else trace["skew"]),
        "duration_ns": rng.choice([0, 1, 10**6, 3 * 10**9]) + rng.randrange(1000),
        "status": "error" if has_failed else "unset",
        "name": rng.choice([model, f"chat {model}"]) if is_call else None,
        "retry_count": rng.choice([*[None] * 30, 0, 1]) if is_call else None,
        "convention": "otel_genai",
        "cohort": trace["cohort"] if is_told else None,
        "user_id": trace["user_id"],
        "sampling_probability": trace["sampling_probability"],
        "dropped_attributes": rng.choice([0, 0, 0, 2]),
        "model": model,
        "provider": "openai" if model == "gpt-4.1" else None,
        # A few traces share the answer to one request.
        "response_id": rng.choice([f"r{number}-{place}", f"shared-{number // 3}"]) if is_call else None,
        # The agent repeats what its calls used.
        "input_tokens": rng.randrange(5000) if bears_tokens else None,
        "output_tokens": rng.randrange(500) if bears_tokens and rng.random() < 0.9 else None,
        "cache_read_tokens": rng.choice([None, 0, 700]) if bears_tokens else None,
        "cache_write_tokens": rng.choice([None, None, 100]) if bears_tokens else None,
        "reasoning_tokens": rng.choice([None, 40]) if bears_tokens else None,
        # 0 is what libraries report of a model whose price they lack.
        "reported_cost_nano_usd": rng.choice([None, 0, *[rng.randrange(10**7)] * 6]) if is_call else None,
        "tool_name": "search" if kind == "tool" else None,
        "tool_arguments_hash": rng.choice(["a", "b"]) if kind == "tool" else None,
        "attributes": {
            "some": "more",
            **({"app.plan": trace["plan"]} if trace["plan"] and is_told else {}),
            **rng.choice([{}, {}, {"app.refund": rng.choice(["0", "2.5", "1e3", "-1", "none", "99999999"])}]),
            **rng.choice([{}, {}, {"app.solved": rng.choice(["true", "FALSE", "0", "1", "maybe"])}]),
        },
    }


def _resent(rng: random.Random, trace: dict[str, Any], number: int, start: int) -> list[Record]:
    """Return model calls one after the other, of which many fail: retries and fallbacks, and what is just not one."""
    spans: list[Record] = []
    begin = start + 10 * MINUTE_NS
    for place in range(200, 200 + rng.randint(2, 5)):
        told = _span(rng, trace, number, place, start, is_root=False)
        model = rng.choice([*["base"] * 4, "candidate", "gpt-4.1"])
        call: dict[str, Any] = {
            "kind": "llm",
            "start_unix_ns": begin,
            "duration_ns": rng.choice([0, 1, 10**9]),
            "status": rng.choice(["error", "error", "unset"]),
            "model": model,
            "name": rng.choice([f"chat {model}"] * 5 + ["answer"]),
            "provider": "openai" if model == "gpt-4.1" else None,
            "retry_count": rng.choice([*[None] * 30, 0, 2]),
        }
        spans.append({**told, **call, **dict.fromkeys(("tool_name", "tool_arguments_hash"))})
        begin += call["duration_ns"] + rng.choice([0, 1, 10**9, MINUTE_NS - 1, MINUTE_NS, -1])
    return spans


def _judge(rng: random.Random, trace: dict[str, Any], number: int, start: int) -> list[Record]:
    """Return an evaluator's span and the model call below it, which counts for no arm."""
    judge = _span(rng, trace, number, 100, start, is_root=False)
    call = {**judge, "span_id": f"{number:08x}{101:08x}", "parent_span_id": judge["span_id"]}
    nothing = dict.fromkeys(name for name in judge if name.endswith(("_tokens", "_usd", "_hash")))
    asked = {"kind": "llm", "model": "candidate", "provider": None, "input_tokens": 100, "output_tokens": 10}
    return [
        {**judge, **nothing, "kind": "evaluator", "model": None, "tool_name": None, "response_id": None},
        {**call, **nothing, **asked, "tool_name": None, "response_id": None},
    ]


def make_evaluation(rng: random.Random, spans: Sequence[Record], start: int, again: int) -> Record:
    """Judge a trace, one of its spans, or the answer of one, which the span alone tells to be of the trace."""
    span = rng.choice(spans)
    way = rng.choice(["trace", "span", "answer", "answer"])
    return {
        "trace_id": None if way == "answer" else span["trace_id"],
        "span_id": span["span_id"] if way == "span" else None,
        "response_id": (span["response_id"] or "unknown") if way == "answer" else None,
        "name": rng.choice(["reward", "tone"]),
        "version": rng.choice(["1", "2"]),
        "passed": rng.choice([True, False, None]),
        "label": f"newest of {again}",
        "source": "code",
        "time_unix_ns": start + again,
        "received_unix_ns": start + again * 1000,
    }


def poorer(span: Record) -> Record:
    """Return an earlier export of the same span, which lacks what came to be known later."""
    return {**span, "attributes": {}, "input_tokens": None, "output_tokens": None, "reported_cost_nano_usd": None}
