"""Facts and rollups of traces in plain Python: written from what they mean, not from the queries, and slow."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
DAY_NS = 86_400_000_000_000


def unique_spans(spans: Iterable[Record]) -> list[Record]:
    """Keep each span once; the generated duplicates are equal."""
    return list({(span["trace_id"], span["span_id"]): span for span in spans}.values())


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


def _trace_facts(spans: Sequence[Record], judgements: Sequence[Record]) -> dict[str, Any]:
    in_time = sorted(spans, key=lambda span: (span["start_unix_ns"], span["span_id"]))
    by_place = sorted(in_time, key=lambda span: span.get("parent_span_id") is not None)
    roots = [span for span in in_time if span.get("parent_span_id") is None]
    calls = [span for span in in_time if span["kind"] == "llm"]
    tools = [span for span in in_time if span["kind"] == "tool"]
    counted = _counted(spans)
    first = min(span["start_unix_ns"] for span in spans)
    extent = max(span["start_unix_ns"] + span["duration_ns"] for span in spans) - first
    costs = [span.get("reported_cost_nano_usd") for span in counted]
    repeated = Counter((tool["tool_name"], tool["tool_arguments_hash"]) for tool in tools)
    return {
        # Calls that begin in the same nanosecond are in order of their models' names.
        "models": list(dict.fromkeys(sorted((call["model"] for call in calls), key=_first_start(calls)))),
        "start_unix_ns": first,
        "duration_ns": roots[0]["duration_ns"] if roots else extent,
        "latency_source": "root" if roots else "extent",
        "cohort": next((span["cohort"] for span in by_place if span.get("cohort")), None),
        "user_id": next((span["user_id"] for span in by_place if span.get("user_id")), None),
        "input_tokens": sum(span["input_tokens"] for span in counted) if counted else None,
        "cost_nano_usd": sum(costs) if costs and None not in costs else None,
        "llm_calls": len(calls),
        "llm_errors": sum(call["status"] == "error" for call in calls),
        "tool_calls": len(tools),
        "tool_errors": sum(tool["status"] == "error" for tool in tools),
        "repeated_tool_calls": sum(repeated.values()) - len(repeated) if tools else None,
        "outcomes": _outcomes(judgements),
    }


def _first_start(calls: Sequence[Record]) -> Any:
    first = {call["model"]: call["start_unix_ns"] for call in reversed(calls)}
    return lambda model: (first[model], model)


def _counted(spans: Sequence[Record]) -> list[Record]:
    """Leaf rule: a span that bears tokens counts unless one below it does."""
    parents = {span["span_id"]: span.get("parent_span_id") for span in spans}
    bearing = [span for span in spans if span.get("input_tokens") is not None]
    above: set[str] = set()
    for span in bearing:
        place = span.get("parent_span_id")
        while place is not None and place not in above:
            above.add(place)
            place = parents.get(place)
    return [span for span in bearing if span["span_id"] not in above]


def _outcomes(judgements: Sequence[Record]) -> list[dict[str, Any]] | None:
    failed: dict[tuple[str, str], bool] = {}
    for one in judgements:
        if one["passed"] is not None:
            key = (one["name"], one["version"])
            failed[key] = failed.get(key, False) or not one["passed"]
    return [
        {"evaluator": name, "version": version, "has_failed": failed[name, version]} for name, version in sorted(failed)
    ] or None


def group_sums(facts: Mapping[str, Mapping[str, Any]]) -> dict[tuple[int, str | None, int], tuple[int, ...]]:
    """Add up by day, cohort and cluster group: traces, tool errors, input tokens and their squares, cost."""
    sums: dict[tuple[int, str | None, int], list[int]] = defaultdict(lambda: [0] * 5)
    for trace_id, one in facts.items():
        cluster = f"user {one['user_id']}" if one["user_id"] else f"trace {trace_id}"
        group = hashlib.md5(f"tracecanary{cluster}".encode(), usedforsecurity=False).digest()[0] % 128
        tokens = one["input_tokens"] or 0
        values = (1, int(one["tool_errors"] > 0), tokens, tokens**2, one["cost_nano_usd"] or 0)
        day = one["start_unix_ns"] // DAY_NS * DAY_NS
        total = sums[day, one["cohort"], group]
        for place, value in enumerate(values):
            total[place] += value
    return {key: tuple(total) for key, total in sums.items()}
