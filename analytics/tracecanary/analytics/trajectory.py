"""Where in the trajectory the candidate differs: by step, agent, tool and kind, and where failures begin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from scipy.special import ndtri

from tracecanary.analytics.gathering import select_keys, window_of
from tracecanary.analytics.question import Question
from tracecanary.analytics.store import Row, Store
from tracecanary.schema import InvalidQuestionError, UnknownArmError

DEFAULT_TRACES, MAX_TRACES = 2_000, 20_000
_NS_PER_S = 1_000_000_000
_ARMS_SHOWN = 50
_DIFFERENCES_SHOWN = 20


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class PlaceOfArm(_Row):
    """What one arm did at a place. Null where nothing is known, such as the share of no failed traces.

    `traces` went through the place, of `arm_traces`; latency is the mean of a call, s; tokens and cost (USD) are per
    call. `retries` are null where nothing would show one, `repeated_calls` where no arguments of tool calls are known.
    `first_problem_share` is the share of the arm's failed traces whose first problem was here.
    """

    arm_traces: int
    failed_traces: int
    traces: int
    calls: int
    errors: int
    retries: int | None
    repeated_calls: int | None
    latency: float | None
    input_tokens: float | None
    output_tokens: float | None
    cost_usd: float | None
    first_problems: int
    first_problem_share: float | None


class PlaceRow(_Row):
    """One place, both arms, in one cohort (null for all together).

    `effect` is the candidate's share of traces whose first problem was here minus the base's, over all traces of the
    arm, with its interval (Newcombe, one look); null where an arm has no traces.
    """

    dimension: str
    place: str
    step_source: str | None
    cohort: str | None
    base: PlaceOfArm
    candidate: PlaceOfArm
    effect: float | None
    ci_low: float | None
    ci_high: float | None


class ToolDifference(_Row):
    """How often, in pairs of traces, tool call number `position` (from 1) was the first to differ, and how."""

    position: int
    base_tool: str | None
    candidate_tool: str | None
    pairs: int


class Trajectory(_Row):
    """The trajectories of both arms: `places`, and for paired traces the first tool calls that differ.

    All of it is of the newest `traces` of each arm, out of `of_traces`.
    """

    base: str
    candidate: str
    traces: dict[str, int]
    of_traces: dict[str, int]
    places: list[PlaceRow]
    pairs: int
    same_tools: int
    first_differences: list[ToolDifference]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Traces:
    """The compared traces as the store lists them."""

    rows: Sequence[Row]

    def of_arm(self, arm: str) -> list[Row]:
        return [row for row in self.rows if row["arm_name"] == arm]

    def all_of_arm(self, arm: str) -> int:
        return max((row["of_traces"] for row in self.of_arm(arm)), default=0)


def compare_trajectories(store: Store, question: Question, *, most: int = DEFAULT_TRACES) -> Trajectory:
    """Compare where calls, errors and first problems are, over the newest `most` traces of each arm.

    Raises:
        UnknownArmError: No stored trace has ever asked for the base or the candidate.
        InvalidQuestionError: `most` is out of range.
    """
    if not 1 <= most <= MAX_TRACES:
        raise InvalidQuestionError("limit", most, f"Use 1 to {MAX_TRACES}.")
    with store.session() as session:
        store.check(question.selection)
        _check_arms(
            question, [str(row["arm_name"]) for row in session.rows("arms_v1", {"arm_by": question.selection.arm_by})]
        )
        select_keys(session, question.selection)
        chosen = _Traces(rows=session.rows("trajectory_traces_v1", {**window_of(question.selection), "most": most}))
    places, tools = _read(store, chosen)
    pairs = _pairs(chosen, question, tools)
    return Trajectory(
        base=question.base,
        candidate=question.candidate,
        traces={"base": len(chosen.of_arm(question.base)), "candidate": len(chosen.of_arm(question.candidate))},
        of_traces={"base": chosen.all_of_arm(question.base), "candidate": chosen.all_of_arm(question.candidate)},
        places=_place_rows(places, chosen, question),
        pairs=len(pairs),
        same_tools=sum(base == candidate for base, candidate in pairs),
        first_differences=first_differences(pairs),
    )


def first_differences(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> list[ToolDifference]:
    """Count the first tool calls that differ in pairs of sequences, most frequent first."""
    counted = Counter(found for found in (_first_difference(*pair) for pair in pairs) if found is not None)
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0][0], str(item[0])))
    return [
        ToolDifference(position=position, base_tool=base, candidate_tool=candidate, pairs=count)
        for (position, base, candidate), count in ordered[:_DIFFERENCES_SHOWN]
    ]


def rate_difference(
    base: tuple[int, int], candidate: tuple[int, int], *, confidence: float
) -> tuple[float, float, float]:
    """Return candidate minus base of two shares (hits, n), and its interval.

    Source: Newcombe, Stat. Med. 17 (1998) 873-890, method 10.
    """
    shares = [hits / n for hits, n in (base, candidate)]
    z = float(ndtri((1 + confidence) / 2))
    (base_low, base_high), (low, high) = [_wilson_interval(hits, n, z) for hits, n in (base, candidate)]
    effect = shares[1] - shares[0]
    return (
        effect,
        effect - math.hypot(shares[1] - low, base_high - shares[0]),
        effect + math.hypot(high - shares[1], shares[0] - base_low),
    )


def _wilson_interval(hits: int, n: int, z: float) -> tuple[float, float]:
    """Return the interval of a share: Newcombe, Stat. Med. 17 (1998) 857-872, method 3."""
    share, widening = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / widening
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / widening
    # Rounding must not take the ends out of 0..1.
    return (middle - half if hits else 0.0), (middle + half if hits < n else 1.0)


def _check_arms(question: Question, seen: Sequence[str]) -> None:
    for parameter, arm in (("base", question.base), ("candidate", question.candidate)):
        if arm not in seen:
            raise UnknownArmError(parameter, arm, arm_by=question.selection.arm_by, seen=seen[:_ARMS_SHOWN])


def _read(store: Store, chosen: _Traces) -> tuple[list[Row], dict[str, list[str]]]:
    trace_ids = [row["trace_id"] for row in chosen.rows]
    if not trace_ids:
        return [], {}
    with store.traces_session(trace_ids) as session:
        session.materialise(
            "compared_traces",
            "compared_traces_v1",
            {
                "trace_ids": trace_ids,
                "arms": [row["arm_name"] for row in chosen.rows],
                "cohorts": [row["cohort_name"] for row in chosen.rows],
                "failed": [row["is_failed"] for row in chosen.rows],
            },
        )
        tools = {row["trace_id"]: row["tools"] or [] for row in session.rows("tool_sequences_v1")}
        return session.rows("trajectory_v2"), tools


def _place_rows(places: Sequence[Row], chosen: _Traces, question: Question) -> list[PlaceRow]:
    cohorts = sorted({row["cohort_name"] for row in chosen.rows})
    rows = []
    for cohort in (None, *cohorts):
        within = [row for row in places if cohort is None or row["cohort_name"] == cohort]
        totals = {
            arm: _totals([row for row in chosen.of_arm(arm) if cohort is None or row["cohort_name"] == cohort])
            for arm in question.selection.arms
        }
        keys = sorted({_place_key(row) for row in within}, key=_place_order)
        rows += [_place_row(key, cohort, within, totals, question) for key in keys]
    return rows


def _place_row(
    key: tuple[str, str, str | None],
    cohort: str | None,
    within: Sequence[Row],
    totals: Mapping[str, tuple[int, int]],
    question: Question,
) -> PlaceRow:
    base, candidate = (
        _place_of_arm([row for row in within if _place_key(row) == key and row["arm_name"] == arm], totals[arm])
        for arm in question.selection.arms
    )
    effect = None
    if base.arm_traces and candidate.arm_traces:
        effect = rate_difference(
            (base.first_problems, base.arm_traces),
            (candidate.first_problems, candidate.arm_traces),
            confidence=question.confidence,
        )
    dimension, place, step_source = key
    value, low, high = effect or (None, None, None)
    return PlaceRow(
        dimension=dimension,
        place=place,
        step_source=step_source,
        cohort=cohort,
        base=base,
        candidate=candidate,
        effect=value,
        ci_low=low,
        ci_high=high,
    )


def _place_of_arm(rows: Sequence[Row], totals: tuple[int, int]) -> PlaceOfArm:
    traces, failed = totals
    calls = sum(row["calls"] for row in rows)
    first = sum(row["first_problems"] for row in rows)
    nano_usd = _per_call(rows, "cost_nano_usd", calls)
    duration_ns = _per_call(rows, "duration_ns", calls)
    return PlaceOfArm(
        arm_traces=traces,
        failed_traces=failed,
        traces=sum(row["traces"] for row in rows),
        calls=calls,
        errors=sum(row["errors"] for row in rows),
        retries=_known_sum(rows, "retries"),
        repeated_calls=_known_sum(rows, "repeated_calls"),
        latency=None if duration_ns is None else duration_ns / _NS_PER_S,
        input_tokens=_per_call(rows, "input_tokens", calls),
        output_tokens=_per_call(rows, "output_tokens", calls),
        cost_usd=None if nano_usd is None else nano_usd / _NS_PER_S,
        first_problems=first,
        first_problem_share=first / failed if failed else None,
    )


def _known_sum(rows: Sequence[Row], name: str) -> int | None:
    """Return the sum of what is known, as for the facts of a trace; None where nothing is."""
    values = [row[name] for row in rows if row[name] is not None]
    return sum(values) if values else None


def _per_call(rows: Sequence[Row], name: str, calls: int) -> float | None:
    """Return the mean over calls; None as soon as one cohort has no value: a part is not the whole."""
    values = [row[name] for row in rows]
    return sum(values) / calls if calls and None not in values else None


def _totals(rows: Sequence[Row]) -> tuple[int, int]:
    return len(rows), sum(row["is_failed"] for row in rows)


def _place_key(row: Row) -> tuple[str, str, str | None]:
    return row["dimension"], row["place"], row["step_source"]


def _place_order(key: tuple[str, str, str | None]) -> tuple[str, int, str, str]:
    dimension, place, step_source = key
    number = int(place) if place.lstrip("-").isdigit() else 0
    return dimension, number, place, step_source or ""


def _pairs(
    chosen: _Traces, question: Question, tools: Mapping[str, Sequence[str]]
) -> list[tuple[Sequence[str], Sequence[str]]]:
    """Return the tools of paired traces, base first; of several traces of an arm with one pair id, the first by id."""
    by_arm: dict[str, dict[str, str]] = {arm: {} for arm in question.selection.arms}
    for row in chosen.rows:
        if row["pair_id"] is not None:
            by_arm[row["arm_name"]].setdefault(row["pair_id"], row["trace_id"])
    base, candidate = by_arm[question.base], by_arm[question.candidate]
    return [
        (tools.get(base[pair], ()), tools.get(candidate[pair], ())) for pair in sorted(base.keys() & candidate.keys())
    ]


def _first_difference(base: Sequence[str], candidate: Sequence[str]) -> tuple[int, str | None, str | None] | None:
    for place in range(max(len(base), len(candidate))):
        ours = base[place] if place < len(base) else None
        theirs = candidate[place] if place < len(candidate) else None
        if ours != theirs:
            return place + 1, ours, theirs
    return None
