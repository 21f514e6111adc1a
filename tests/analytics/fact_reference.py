"""Facts and rollups of traces in plain Python: written from what they mean, not from the queries, and slow."""

import hashlib
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

Record = Mapping[str, Any]
HOUR_NS, DAY_NS = 3_600_000_000_000, 86_400_000_000_000
FIRST_NS = 1_780_272_000_000_000_000
# USD per million tokens: input, cached input, cache write, output, reasoning.
_CHEAP, _DEAR, _LATER = (3, 0.75, 3.75, 12, 15), (6, 0.75, 3.75, 18, 15), (4, 4, 4, 16, 16)
_PUBLISHED = (2, 0.5, 2, 8, 8)
_LATER_FROM_NS = int(datetime(2026, 6, 3, tzinfo=UTC).timestamp()) * 10**9


def unique_spans(spans: Iterable[Record]) -> list[Record]:
    """Keep each span once: of those delivered twice the one that knows more."""
    richest: dict[tuple[str, str], Record] = {}
    for span in spans:
        key = (span["trace_id"], span["span_id"])
        if key not in richest or len(span["attributes"]) > len(richest[key]["attributes"]):
            richest[key] = span
    return list(richest.values())


def newest_judgements(spans: Iterable[Record], evaluations: Iterable[Record]) -> list[Record]:
    """Keep the newest judgement of each key; one of an answer belongs to the first span with it, or waits for one."""
    answers: dict[str, Record] = {}
    for span in sorted(spans, key=lambda span: (span["start_unix_ns"], span["trace_id"], span["span_id"])):
        if span.get("response_id"):
            answers.setdefault(span["response_id"], span)
    newest: dict[tuple[Any, ...], Record] = {}
    for one in sorted(evaluations, key=lambda one: one["received_unix_ns"]):
        found = answers.get(one["response_id"], {}) if one["trace_id"] is None else one
        place = {"trace_id": found.get("trace_id"), "span_id": found.get("span_id")}
        waits_for = one["response_id"] if place["trace_id"] is None else None
        newest[(*place.values(), waits_for, one["name"], one["version"], one["source"])] = {**one, **place}
    return list(newest.values())


def facts_of(spans: Sequence[Record], evaluations: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """Return the facts of each trace in which a model was asked."""
    by_trace: dict[str, list[Record]] = defaultdict(list)
    for span in unique_spans(spans):
        by_trace[span["trace_id"]].append(span)
    judged: dict[str, list[Record]] = defaultdict(list)
    for one in newest_judgements(spans, evaluations):
        judged[one["trace_id"]].append(one)
    facts = {trace_id: _trace_facts(members, judged[trace_id]) for trace_id, members in by_trace.items()}
    return {trace_id: one for trace_id, one in facts.items() if one["models"]}


def _trace_facts(members: Sequence[Record], judgements: Sequence[Record]) -> dict[str, Any]:
    judges = {span["span_id"] for span in members if span["kind"] == "evaluator"}
    judging = [span for span in members if judges & {span["span_id"], span["parent_span_id"]}]
    spans = [span for span in members if span not in judging]
    in_time = sorted(spans, key=lambda span: (span["start_unix_ns"], span["span_id"]))
    by_place = sorted(in_time, key=lambda span: span["parent_span_id"] is not None)
    roots = [span for span in in_time if span["parent_span_id"] is None]
    calls = [span for span in in_time if span["kind"] == "llm"]
    tools = [span for span in in_time if span["kind"] == "tool"]
    logical = _logical_calls(calls)
    first = min((span["start_unix_ns"] for span in spans), default=0)
    extent = max((span["start_unix_ns"] + span["duration_ns"] for span in spans), default=0) - first
    repeated = Counter((tool["tool_name"], tool["tool_arguments_hash"]) for tool in tools)
    plans = [span["attributes"]["app.plan"] for span in by_place if "app.plan" in span["attributes"]]
    return {
        "models": _models(logical),
        "start_unix_ns": first,
        "duration_ns": roots[0]["duration_ns"] if roots else extent,
        "latency_source": "root" if roots else "extent",
        "cohort": next((span["cohort"] for span in by_place if span["cohort"]), None),
        "dimensions": {"plan": plans[0]} if plans else None,
        "user_id": next((span["user_id"] for span in by_place if span["user_id"]), None),
        "is_error": (bool(roots) and roots[0]["status"] == "error") or _has_failed(logical),
        "llm_calls": len(calls),
        "llm_errors": sum(call["status"] == "error" for call in calls),
        "llm_duration_ns": sum(call["duration_ns"] for call in calls),
        "tool_calls": len(tools),
        "tool_errors": sum(tool["status"] == "error" for tool in tools),
        "repeated_tool_calls": sum(repeated.values()) - len(repeated) if tools else None,
        "steps": len(logical) + len(tools),
        **_resends(logical),
        "dropped_attributes": sum(span["dropped_attributes"] for span in spans),
        "sampling_probability": min((span["sampling_probability"] or 2 for span in spans), default=2) % 2 or None,
        **_usage(_counted(spans)),
        **_judge_usage(judging),
        "outcomes": _outcomes(judgements),
        "measures": _measures(in_time) or None,
    }


def _measures(in_time: Sequence[Record]) -> dict[str, int | None]:
    """Return refund, a sum, and unsolved, by the last that says; in millionths, None where nothing is usable."""
    truths = {"true": 1.0, "false": 0.0}
    refunds = [span["attributes"]["app.refund"] for span in in_time if "app.refund" in span["attributes"]]
    solved = [span["attributes"]["app.solved"].lower() for span in in_time if "app.solved" in span["attributes"]]
    usable = [float(value) for value in refunds if value not in {"-1", "none", "99999999"}]
    told = [truths.get(value) if value in truths else float(value) for value in solved if value != "maybe"]
    found: dict[str, int | None] = {}
    if refunds:
        found["refund"] = round(sum(usable) * 1_000_000) if usable else None
    if solved:
        found["unsolved"] = 1_000_000 * (not told[-1]) if told else None
    return found


def _logical_calls(calls: Sequence[Record]) -> list[list[Record]]:
    """Part model calls beside each other into logical ones: one that resends what failed just before belongs to it."""
    beside = sorted(calls, key=lambda call: (call["start_unix_ns"], _end(call), call["span_id"]))
    logical: list[list[Record]] = []
    for place, call in enumerate(beside):
        if place and _is_resent(beside, place):
            logical[-1].append(call)
        else:
            logical.append([call])
    return sorted(logical, key=_begin)


def _is_resent(beside: Sequence[Record], place: int) -> bool:
    call, before = beside[place], beside[place - 1]
    return (
        before["status"] == "error"
        and _plain_name(call) == _plain_name(before)
        and _is_alone(beside, place)
        and _is_alone(beside, place - 1)
        and call["start_unix_ns"] > before["start_unix_ns"]
        and call["start_unix_ns"] - _end(before) < 60_000_000_000
    )


def _is_alone(beside: Sequence[Record], place: int) -> bool:
    """Whether no other call runs at the same time."""
    ended = all(_end(other) <= beside[place]["start_unix_ns"] for other in beside[:place])
    return ended and (place + 1 == len(beside) or _end(beside[place]) <= beside[place + 1]["start_unix_ns"])


def _end(span: Record) -> int:
    end: int = span["start_unix_ns"] + span["duration_ns"]
    return end


def _plain_name(call: Record) -> str:
    name: str = call["name"] or ""
    return name.replace(call["model"], "")


def _begin(attempts: Sequence[Record]) -> tuple[int, str]:
    return attempts[0]["start_unix_ns"], attempts[0]["span_id"]


def _has_failed(logical: Sequence[Sequence[Record]]) -> bool:
    return bool(logical) and logical[-1][-1]["status"] == "error"


def _models(logical: Sequence[Sequence[Record]]) -> list[str]:
    """Return the models asked, by when their logical call began; of those that begin at once, first by their place."""
    asked = [
        (attempts[0]["start_unix_ns"], number, attempt["model"])
        for attempts in logical
        for number, attempt in enumerate(attempts)
    ]
    return list(dict.fromkeys(model for *_, model in sorted(asked)))


def _resends(logical: Sequence[Sequence[Record]]) -> dict[str, Any]:
    retries: list[int] = []
    sources: set[str] = set()
    left: list[tuple[str, str]] = []
    for attempts in logical:
        pairs = list(itertools.pairwise(attempt["model"] for attempt in attempts))
        linked = sum(before == after for before, after in pairs)
        stated = [attempt["retry_count"] for attempt in attempts if attempt["retry_count"] is not None]
        if stated or linked:
            retries.append(max([linked, *stated]))
            sources.add("attribute" if stated else "siblings")
        if any(before != after for before, after in pairs):
            left.append((attempts[0]["model"], attempts[-1]["model"]))
    return {
        "retries": sum(retries) if retries else None,
        "retry_source": min(sources, default="none"),
        "is_fallback": True if left else None,
        "fallback_source": "siblings" if left else "none",
        "fallback_from": left[0][0] if left else None,
        "fallback_to": left[0][1] if left else None,
    }


def _counted(spans: Sequence[Record]) -> list[Record]:
    """Leaf rule: a span that bears tokens counts unless one below it does."""
    parents = {span["span_id"]: span["parent_span_id"] for span in spans}
    bearing = [span for span in spans if (span["input_tokens"], span["output_tokens"]) != (None, None)]
    above: set[str] = set()
    for span in bearing:
        place = span["parent_span_id"]
        while place is not None and place not in above:
            above.add(place)
            place = parents.get(place)
    return [span for span in bearing if span["span_id"] not in above]


def _usage(counted: Sequence[Record]) -> dict[str, Any]:
    costs = [_cost(span) for span in counted]
    sources = {source for _, source in costs}
    unpriced = sorted({span["model"] or "(unknown)" for span in counted if not _reported(span) and not _rates(span)})
    is_priced = bool(counted) and None not in sources
    return {
        "input_tokens": _sum(span["input_tokens"] for span in counted),
        "output_tokens": _sum(span["output_tokens"] for span in counted),
        "cache_read_tokens": _sum(span["cache_read_tokens"] for span in counted),
        "calls_with_tokens": len(counted),
        "cost_nano_usd": sum(cost or 0 for cost, _ in costs) if is_priced else None,
        "cost_source": ("mixed" if len(sources) > 1 else sources.pop()) if is_priced else None,
        "reported_cost_nano_usd": _whole(_reported(span) for span in counted),
        "computed_cost_nano_usd": _whole(_computed(span) for span in counted),
        "unpriced_models": unpriced or None,
    }


def _judge_usage(judging: Sequence[Record]) -> dict[str, Any]:
    calls = [span for span in judging if span["kind"] == "llm"]
    return {
        "judge_calls": len(calls),
        "judge_cost_nano_usd": sum(_cost(call)[0] or 0 for call in calls) if calls else None,
    }


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _whole(values: Iterable[int | None]) -> int | None:
    """Return the sum if each value is known and there are any."""
    found = list(values)
    return None if not found or None in found else _sum(found)


def _cost(span: Record) -> tuple[int | None, str | None]:
    """Return cost and source of a call: the installation's own price, else what is reported, else a published price."""
    computed, reported = _computed(span), _reported(span)
    if span["model"] == "candidate" and computed is not None:
        return computed, "file"
    if reported is not None:
        return reported, "reported"
    return computed, None if computed is None else "genai-prices"


def _reported(span: Record) -> int | None:
    used = (span["input_tokens"] or 0) + (span["output_tokens"] or 0)
    reported: int | None = span["reported_cost_nano_usd"]
    return reported if reported or not used else None


def _rates(span: Record) -> Sequence[float] | None:
    if span["model"] == "gpt-4.1":
        return _PUBLISHED
    if span["model"] != "candidate":
        return None
    if span["start_unix_ns"] >= _LATER_FROM_NS:
        return _LATER
    return _DEAR if (span["input_tokens"] or 0) > 3000 else _CHEAP


def _computed(span: Record) -> int | None:
    rates, given, made = _rates(span), span["input_tokens"], span["output_tokens"]
    if rates is None or given is None or made is None:
        return None
    read = min(span["cache_read_tokens"] or 0, given)
    written = min(span["cache_write_tokens"] or 0, given - read)
    reasoned = min(span["reasoning_tokens"] or 0, made)
    counts = (given - read - written, read, written, made - reasoned, reasoned)
    usd = sum((Fraction(rate) * count for rate, count in zip(rates, counts, strict=True)), Fraction()) / 1_000_000
    return math.floor(usd * 10**9 + Fraction(1, 2))


def _outcomes(judgements: Sequence[Record]) -> list[dict[str, Any]] | None:
    failed: dict[tuple[str, str], bool] = {}
    for one in judgements:
        if one["passed"] is not None:
            key = (one["name"], one["version"])
            failed[key] = failed.get(key, False) or not one["passed"]
    return [
        {"evaluator": name, "version": version, "has_failed": failed[name, version]} for name, version in sorted(failed)
    ] or None


Sums = dict[tuple[Any, ...], dict[str, int]]
GROUP_SUMS = (
    *("traces", "with_tool_errors", "input_tokens_total", "input_tokens_sq", "with_cost", "cost_total"),
    *("judged", "failed", "sampling_weight_milli", "errors", "retried", "fell_back"),
)
HOUR_SUMS = (
    *("traces", "errors", "without_root", "with_dropped_attributes", "with_cost", "cost_total", "steps_total"),
    *("retried", "fell_back"),
)


def group_sums(facts: Mapping[str, Record]) -> Sums:
    """Add up by day, cohort, plan and cluster group."""
    sums: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for trace_id, one in facts.items():
        cluster = f"user {one['user_id']}" if one["user_id"] else f"trace {trace_id}"
        group = hashlib.md5(f"tracecanary{cluster}".encode(), usedforsecurity=False).digest()[0] % 128
        day = one["start_unix_ns"] // DAY_NS * DAY_NS
        sums[day, *_cohort(one), group].update({name: _added(one)[name] for name in GROUP_SUMS})
    return {key: dict(total) for key, total in sums.items()}


def hour_sums(facts: Mapping[str, Record]) -> Sums:
    """Add up by hour, cohort and plan."""
    sums: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for one in facts.values():
        hour = one["start_unix_ns"] // HOUR_NS * HOUR_NS
        sums[hour, *_cohort(one)].update({name: _added(one)[name] for name in HOUR_SUMS})
    return {key: dict(total) for key, total in sums.items()}


def measure_sums(facts: Mapping[str, Record]) -> Sums:
    """Add up own metrics by day, cohort, plan and name."""
    sums: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for one in facts.values():
        day = one["start_unix_ns"] // DAY_NS * DAY_NS
        for name, value in (one["measures"] or {}).items():
            known = value or 0
            added = {"stated": 1, "known": int(value is not None), "value_total": known, "value_sq": known**2}
            sums[day, *_cohort(one), name].update({**added, "value_cube": round(known / 1000) ** 3})
    return {key: dict(total) for key, total in sums.items()}


def histograms(facts: Mapping[str, Record]) -> Counter[tuple[Any, ...]]:
    """Count values by day, cohort, plan, metric and bucket: bucket b holds values above 2^(b/32), to 2^((b+1)/32)."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for one in facts.values():
        cost = one["cost_nano_usd"]
        values = {
            "latency": one["duration_ns"] / 1e9,
            "cost_per_trace": None if cost is None else cost / 1e9,
            "input_tokens": one["input_tokens"],
            "output_tokens": one["output_tokens"],
            "steps_per_trace": one["steps"],
        }
        day = one["start_unix_ns"] // DAY_NS * DAY_NS
        for metric, value in values.items():
            if value is not None:
                bucket = math.ceil(math.log2(value) * 32) - 1 if value > 0 else None
                counts[day, *_cohort(one), metric, bucket] += 1
    return counts


def _cohort(one: Record) -> tuple[str | None, str | None]:
    return one["cohort"], (one["dimensions"] or {}).get("plan")


def _added(one: Record) -> dict[str, int]:
    tokens = one["input_tokens"] or 0
    return {
        "traces": 1,
        "errors": int(one["is_error"]),
        "with_tool_errors": int(one["tool_errors"] > 0),
        "retried": int((one["retries"] or 0) > 0),
        "fell_back": int(one["is_fallback"] is True),
        "without_root": int(one["latency_source"] == "extent"),
        "with_dropped_attributes": int(one["dropped_attributes"] > 0),
        "with_cost": int(one["cost_nano_usd"] is not None),
        "cost_total": one["cost_nano_usd"] or 0,
        "input_tokens_total": tokens,
        "input_tokens_sq": tokens**2,
        "steps_total": one["steps"],
        "judged": int(one["outcomes"] is not None),
        "failed": int(any(outcome["has_failed"] for outcome in one["outcomes"] or ())),
        "sampling_weight_milli": round(1000 / (one["sampling_probability"] or 1)),
    }
