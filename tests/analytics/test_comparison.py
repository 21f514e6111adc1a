import json
import math
from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.evidence_cases import Arm, Moments, Pair, evidence, question

from tracecanary.analytics.answer import Answer, answer_rows
from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.evidence import ArmSide, Evidence, MetricKey, Tally, merge_cells
from tracecanary.analytics.metrics import METRICS, MetricKind
from tracecanary.analytics.question import time_of
from tracecanary.analytics.specification import spec_hash
from tracecanary.analytics.statistics.histograms import Histograms
from tracecanary.analytics.statistics.standardise import GROUPS, GroupSums

KEYS: list[tuple[MetricKey, MetricKind]] = [
    ((metric.name, evaluator), metric.kind)
    for metric in METRICS
    if metric.kind is not MetricKind.QUANTILE
    for evaluator in (("reward", "tone@2") if metric.name == "eval_fail_rate" else (None,))
]
TALLIES: st.SearchStrategy[Tally] = st.dictionaries(st.sampled_from("xyz"), st.integers(1, 500), max_size=3)
AMOUNTS = st.one_of(st.just(0.0), st.floats(1e-9, 1e6))


@st.composite
def moments(draw: st.DrawFn, kind: MetricKind, traces: int) -> Moments:
    n = draw(st.integers(0, traces))
    if kind is MetricKind.RATE:
        hits = draw(st.integers(0, n))
        return Moments(n=n, total=float(hits), squares=float(hits), cubes=float(hits))
    values = [draw(AMOUNTS) for _ in range(min(n, 3))]
    return Moments(
        n=len(values),
        total=math.fsum(values),
        squares=math.fsum(value**2 for value in values),
        cubes=math.fsum(value**3 for value in values),
    )


@st.composite
def arms(draw: st.DrawFn) -> Arm:
    traces = draw(st.one_of(st.integers(0, 3), st.integers(0, 5000)))
    if traces == 0:
        return Arm()
    counted = st.integers(0, traces)
    return Arm(
        side=ArmSide(
            traces=traces,
            without_root=draw(counted),
            with_tokens=draw(counted),
            evaluated=draw(counted),
            contaminated=draw(counted),
            releases=draw(TALLIES),
            routes=draw(TALLIES),
        ),
        moments={key: draw(moments(kind, traces)) for key, kind in KEYS if draw(st.booleans())},
        latencies_s=draw(AMOUNTS) * np.linspace(draw(st.sampled_from([0.0, 0.5, 1.0])), 1.0, traces),
    )


@st.composite
def any_evidence(draw: st.DrawFn) -> Evidence:
    names = draw(st.lists(st.sampled_from(["", "(none)", "bank", "shop", "ü / x"]), unique=True, max_size=4))
    return evidence([Pair(cohort=name, base=draw(arms()), candidate=draw(arms())) for name in names])


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@given(any_evidence())
def test_answer_is_json_without_nan_or_infinity(found: Evidence) -> None:
    answer = answer_question(question(), found)

    parsed = json.loads(answer.model_dump_json(by_alias=True), parse_constant=refuse)

    assert Answer.model_validate(parsed) == answer
    assert len(answer_rows(answer, time=time_of(0))) == sum(
        len(rows) for rows in (answer.overall.metrics, *(cohort.metrics for cohort in answer.cohorts))
    )


@given(any_evidence())
def test_every_cohort_is_routed_once(found: Evidence) -> None:
    answer = answer_question(question(), found)

    routed = [*answer.routing.base, *answer.routing.candidate, *answer.routing.unverified]
    assert sorted(routed) == sorted(cohort.cohort for cohort in answer.cohorts)
    assert len(routed) == len(found.cells)


@given(any_evidence())
def test_weights_are_shares_and_reasons_are_given(found: Evidence) -> None:
    answer = answer_question(question(), found)

    total = math.fsum(cohort.weight for cohort in answer.cohorts)
    assert math.isclose(total, 1.0) or total == 0.0
    reasons = [answer.overall.reasons, *(cohort.reasons for cohort in answer.cohorts)]
    assert all(given and all(given) for given in reasons)


@given(any_evidence())
def test_a_cohort_that_one_arm_alone_saw_never_moves(found: Evidence) -> None:
    answer = answer_question(question(), found)

    alone = {cell.cohort for cell in found.cells if not cell.has_both_arms}
    assert alone <= {*answer.routing.unverified, *answer.routing.base}


@given(any_evidence(), st.randoms(use_true_random=False))
def test_merging_cells_does_not_depend_on_their_order(found: Evidence, random: Random) -> None:
    shuffled = list(found.cells)
    random.shuffle(shuffled)

    assert merge_cells(shuffled) == merge_cells(found.cells)


def test_spec_hash_names_the_rules() -> None:
    plain = spec_hash(question())

    assert plain == spec_hash(question())
    assert len(plain) == 16
    assert int(plain, 16) >= 0
    assert plain != spec_hash(question(confidence=0.9))
    assert plain != spec_hash(question(arm_by="release"))


@settings(max_examples=30, deadline=None)
@given(any_evidence(), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_clustered_and_capped_evidence_has_an_answer_at_any_time(
    found: Evidence, seed: int, is_paired: bool, is_capped: bool
) -> None:
    random = np.random.default_rng(seed)
    sums = found.values.sums
    # Each cluster group has a share of the sums, and some have none.
    shares = random.dirichlet(np.full(GROUPS, 0.05), sums.n.shape[:-1])
    n, total, squares, cubes = (shares * array for array in (sums.n, sums.total, sums.squares, sums.cubes))
    clustered = GroupSums(n=n, total=total, squares=squares, cubes=cubes, is_clustered=True, is_paired=is_paired)
    histogram = found.values.histograms["latency"]
    coarse = histogram.counts[:, :, :, None, :] * random.dirichlet(np.full(GROUPS, 0.05), (1, 1, 2))[..., None]
    values = replace(
        found.values,
        sums=clustered,
        tails=replace(clustered, n=n / 10, total=total / 20, squares=squares / 20, cubes=cubes / 20)
        if is_capped
        else None,
        group_histograms={"latency": Histograms(counts=coarse, first=histogram.first, scale=histogram.scale)},
    )

    answer = answer_question(question(at_n=None), replace(found, values=values))

    parsed = json.loads(answer.model_dump_json(by_alias=True), parse_constant=refuse)
    assert Answer.model_validate(parsed) == answer
    assert all(
        row.ci_low is None or row.effect is None or row.ci_high is None or row.ci_low <= row.effect <= row.ci_high
        for row in answer.overall.metrics
    )
