"""Whatever the lake holds, the answer holds: finite numbers or null with a reason, and never an exception."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.evidence_cases import EVALUATOR, Arm, Floats, Moments, Pair, evidence, question, rate

from tracecanary.analytics.answer import Answer, CellState, MetricRow, Verdict
from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.evidence import ArmSide, Evidence, MetricKey, Values
from tracecanary.analytics.statistics.histograms import COARSE_SCALE, Histograms
from tracecanary.analytics.statistics.pairs import PairedHits
from tracecanary.analytics.statistics.standardise import GROUPS, GroupSums

RATES: tuple[MetricKey, ...] = (("eval_fail_rate", EVALUATOR), ("error_rate", None), ("retry_rate", None))
COST: MetricKey = ("cost_per_trace", None)
# 0 events, 1 trace, few, enough, and 10^9 of them.
COUNTS = st.sampled_from([0, 1, 2, 99, 100, 5000, 10**9])
SHARES = st.sampled_from([0.0, 1e-9, 0.01, 0.5, 1.0])
VALUES = st.sampled_from([0.0, 1e-12, 1.0, 5e4, 1e12])


@st.composite
def arms(draw: st.DrawFn) -> Arm:
    traces = draw(COUNTS)
    moments: dict[MetricKey, Moments] = {}
    for key in RATES:
        n = min(traces, draw(COUNTS))
        moments[key] = rate(round(draw(SHARES) * n), n)
    value, spread, n = draw(VALUES), draw(st.sampled_from([0.0, 1.0])), min(traces, draw(COUNTS))
    powers = [n * value**power * (1 + spread) ** max(power - 1, 0) for power in (1, 2, 3)]
    moments[COST] = Moments(n=n, total=powers[0], squares=powers[1], cubes=powers[2])
    latencies = draw(st.sampled_from([[], [0.0], [1.0], [3.0] * 400, [0.0] * 200 + [1e-9, 1e9], list(range(1, 700))]))
    return Arm(side=ArmSide(traces=traces, evaluated=traces), moments=moments, latencies_s=np.array(latencies, float))


@st.composite
def pieces_of_evidence(draw: st.DrawFn) -> Evidence:
    names = draw(st.lists(st.sampled_from(["", "(none)", "bank", "shop"]), max_size=3, unique=True))
    found = evidence([Pair(cohort=name, base=draw(arms()), candidate=draw(arms())) for name in names])
    if draw(st.booleans()):
        found = replace(
            found, values=of_users(found.values, has_whale=draw(st.booleans()), is_paired=draw(st.booleans()))
        )
    if draw(st.booleans()):
        found = replace(found, caps={COST[0]: 1.0}, values=replace(found.values, tails=half_of(found.values.sums)))
    counts = draw(st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
    hits = PairedHits(both=counts[0], base_only=counts[1], candidate_only=counts[2], neither=counts[3])
    pairs = {(name, key): hits for name in names for key in RATES} if draw(st.booleans()) else {}
    parts = {"held_out": found, "live": found} if pairs else {}
    return replace(found, pairs=pairs, **parts)  # type: ignore[arg-type]  # evidence by name


def of_users(values: Values, *, has_whale: bool, is_paired: bool) -> Values:
    """Give the values to users: spread evenly, or all of them to one."""
    share = np.zeros(GROUPS)
    share[: 1 if has_whale else GROUPS] = 1 if has_whale else 1 / GROUPS

    def spread(array: Floats) -> Floats:
        return array * share

    sums = values.sums
    clustered = GroupSums(
        n=spread(sums.n),
        total=spread(sums.total),
        squares=spread(sums.squares),
        cubes=spread(sums.cubes),
        is_clustered=True,
        is_paired=is_paired,
    )
    latency = values.histograms["latency"]
    width = latency.counts.shape[-1]
    coarse = np.zeros((*latency.counts.shape[:3], GROUPS, max(2, width // 8 + 2)))
    coarse[..., 1] = latency.counts.sum(axis=-1)[..., None] * share
    groups = Histograms(counts=coarse, first=latency.first // 8, scale=COARSE_SCALE)
    return replace(values, sums=clustered, group_histograms={"latency": groups})


def half_of(sums: GroupSums) -> GroupSums:
    return replace(sums, n=sums.n / 2, total=sums.total / 2, squares=sums.squares / 2, cubes=sums.cubes / 2)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, float):
        yield value


def rows_of(answer: Answer) -> list[MetricRow]:
    return [*answer.overall.metrics, *(row for cohort in answer.cohorts for row in cohort.metrics)]


@settings(max_examples=60, deadline=None)
@given(pieces_of_evidence(), st.sampled_from([None, 1, 10**6]))
def test_any_evidence_gives_an_answer_without_nan(found: Evidence, at_n: int | None) -> None:
    answer = answer_question(question(at_n=at_n), found)

    document = json.loads(answer.model_dump_json())
    assert all(math.isfinite(number) for number in numbers(document))
    assert answer.overall.verdict in set(Verdict)
    assert answer.overall.reasons
    for row in rows_of(answer):
        assert (row.state is CellState.NO_DATA) <= (row.reason is not None)
        assert (row.effect is None) <= (row.state is CellState.NO_DATA)
        if row.ci_low is not None and row.ci_high is not None:
            assert row.ci_low <= row.ci_high
