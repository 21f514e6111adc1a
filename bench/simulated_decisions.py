"""Discoveries, verdicts and checks: what a release manager is told, and how often it is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from simulated_figures import Figure
from simulated_traffic import RATE, _high, _low, asked, evidence_of, one_rate, rate_values, with_margin

from tracecanary.analytics.answer import Answer, CellState, MetricRow, Verdict
from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.statistics.ramp import ramp_starts
from tracecanary.analytics.statistics.sample_ratio import log_sample_ratio_e_value

FOUR_RATES = ("error_rate", "tool_error_rate", "retry_rate", "fallback_rate")


def discoveries(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """False discoveries over 30 cohorts and 4 rates in 50 looks, the harmless ones worse by just their margin."""
    cohorts, looks, step, margin = 30, 50, 80, 0.01
    base = np.array([0.05, 0.1, 0.15, 0.2])
    metrics = [with_margin(name, margin) for name in FOUR_RATES]
    question = asked(*metrics, sequential=True, planned=4000)
    replicates = max(size // 4, 20)
    for name, harmed_share in (("15 % of the cells harmed by 60 %", 0.15), ("none harmed", 0.0)):
        false_shares, found, any_false = [], [], []
        for _ in range(replicates):
            harmed = rng.random((cohorts, len(base))) < harmed_share
            rate = np.stack([np.broadcast_to(base, harmed.shape), np.where(harmed, 1.6 * base, base + margin)], axis=1)
            hits, flagged = np.zeros((cohorts, 2, len(base))), np.zeros_like(harmed)
            for look in range(1, looks + 1):
                hits += rng.binomial(step, rate)
                n = np.full(hits.shape, float(look * step))
                values = rate_values(hits[:, None, :, :, None], n[:, None, :, :, None], FOUR_RATES)
                flagged |= confirmed(answer_question(question, evidence_of(values)))
            false_shares.append((flagged & ~harmed).sum() / max(flagged.sum(), 1))
            any_false.append(bool((flagged & ~harmed).any()))
            found.append((flagged & harmed).sum() / max(harmed.sum(), 1))
        section = "discoveries, 30 cohorts x 4 rates, 50 looks"
        if harmed_share:
            yield Figure(
                section=section,
                name=f"false share of the flagged, {name}",
                share=float(np.mean(false_shares)),
                replicates=replicates,
                high=0.05,
            )
            yield Figure(section=section, name=f"power, {name}", share=float(np.mean(found)), replicates=replicates)
        else:
            yield Figure(
                section=section,
                name=f"any false flag, {name}",
                share=float(np.mean(any_false)),
                replicates=replicates,
                high=0.05,
            )


def confirmed(answer: Answer) -> NDArray[np.bool_]:
    """Tell which cells are harms that stand among all: those with an interval of raised confidence."""
    return np.array(
        [
            [row.state is CellState.HARM and (row.ci_confidence or 0) > 0.95 for row in cohort.metrics]
            for cohort in answer.cohorts
        ]
    )


def decisions(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """Verdicts on a rate of 5 % with a margin of 2 points: a plan of 3,570 traces, 100 looks up to twice that."""
    planned, looks = 3570, 100
    step = 2 * planned / looks
    question = asked(with_margin("error_rate", 0.02), sequential=True, planned=planned)
    section = "decisions, rate 5 %, margin 2 points"
    for name, rate, wanted in (
        ("no difference ships by the plan", 0.05, (0.8, 1.0)),
        ("worse by the margin ships at any look", 0.07, (0.0, 0.025)),
        ("5 % -> 9 %: named as worse by the plan", 0.09, (0.95, 1.0)),
        ("5 % -> 9 %: harm beyond the margin by twice the plan", 0.09, (0.9, 1.0)),
        ("5 % -> 11 %: harm beyond the margin by the plan", 0.11, (0.95, 1.0)),
        ("no difference called harm at any look", 0.05, (0.0, 0.025)),
    ):
        hits, event = np.zeros((2 * size, 2)), np.zeros(2 * size, dtype=np.bool_)
        n = 0
        for look in range(1, looks + 1):
            added = round(look * step) - n
            n += added
            hits += rng.binomial(added, [0.05, rate], hits.shape)
            if "by the plan" in name and n > planned:
                break
            answer = answer_question(question, one_rate(hits, np.full(2, n)))
            event |= np.array(
                [_has_happened(name, cohort.verdict, cohort.metrics[0].state) for cohort in answer.cohorts]
            )
        yield Figure(
            section=section, name=name, share=float(event.mean()), replicates=2 * size, low=wanted[0], high=wanted[1]
        )


def _has_happened(name: str, verdict: Verdict, state: CellState) -> bool:
    if "ships" in name:
        return verdict is Verdict.SHIP
    if "named" in name:
        return state in {CellState.WORSE, CellState.HARM}
    return state is CellState.HARM


def one_of_twelve(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """A regression from 5 % to 9 % in one of 12 cohorts: found by the plan of that cohort, and by what verdict."""
    planned, cohorts, replicates = 3570, 12, max(size // 4, 50)
    question = asked(with_margin("error_rate", 0.02), sequential=True, planned=planned)
    rate = np.full((cohorts, 2), 0.05)
    rate[3, 1] = 0.09
    named, narrowed, wrong = [], [], []
    for _ in range(replicates):
        hits = np.zeros((cohorts, 2))
        is_named = is_narrowed = is_wrong = False
        for look in range(1, 21):
            hits += rng.binomial(planned // 10, rate)
            n = np.full(2, look * (planned // 10))
            answer = answer_question(question, one_rate(hits, n))
            states = [cohort.metrics[0].state for cohort in answer.cohorts]
            is_named |= look <= 10 and states[3] in {CellState.WORSE, CellState.HARM}
            is_narrowed |= answer.overall.verdict is Verdict.NARROW and answer.routing.base == ["00003"]
            is_wrong |= answer.overall.verdict is Verdict.ROLL_BACK
        named.append(is_named)
        narrowed.append(is_narrowed)
        wrong.append(is_wrong)
    section = "one of 12 cohorts worse, 5 % -> 9 %"
    yield Figure(
        section=section,
        name="found and named by the plan",
        share=float(np.mean(named)),
        replicates=replicates,
        low=0.95,
    )
    yield Figure(
        section=section,
        name="verdict narrow to just it by twice the plan",
        share=float(np.mean(narrowed)),
        replicates=replicates,
    )
    yield Figure(
        section=section,
        name="rolled back as a whole at any look",
        share=float(np.mean(wrong)),
        replicates=replicates,
        high=0.05,
    )


def mixes(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """Equal arms over different mixes of cohorts, and over a ramp in which the error rate drifts."""
    question = asked(RATE, sequential=False)
    section = "equal arms, different traffic, one look"
    n = np.array([[2100.0, 900.0], [900.0, 2100.0]])
    found = {"over one mix": [], "crude": [], "mix shift flagged": []}
    for _ in range(size):
        hits = rng.binomial(n.astype(int), [[0.02], [0.10]]).astype(float)
        answer = answer_question(
            question, evidence_of(rate_values(hits[:, None, :, None, None], n[:, None, :, None, None], ["error_rate"]))
        )
        row = answer.overall.metrics[0]
        found["over one mix"].append(_low(row) > 0 or _high(row) < 0)
        found["crude"].append(_is_crude_off(row))
        found["mix shift flagged"].append(answer.checks.mix_shift.figures["metrics"] == ["error_rate"])
    for name, wanted in (("over one mix", (0.03, 0.06)), ("crude", (0.0, 1.0)), ("mix shift flagged", (0.99, 1.0))):
        yield Figure(
            section=section,
            name=f"70/30 against 30/70 cohorts: {name}",
            share=float(np.mean(found[name])),
            replicates=size,
            low=wanted[0],
            high=wanted[1],
        )
    pooled, stratified = [], []
    for _ in range(size):
        hours = np.concatenate([np.tile([950.0, 50.0], (12, 1)), np.tile([500.0, 500.0], (12, 1))])
        hours = rng.poisson(hours).astype(float)
        rate = np.repeat([0.02, 0.08], 12)[:, None]
        hits = rng.binomial(hours.astype(int), rate).astype(float)
        for starts, alarms in (([0], pooled), (list(ramp_starts(hours)), stratified)):
            traces, failed = (np.add.reduceat(values, starts, axis=0) for values in (hours, hits))
            values = rate_values(failed[None, :, :, None, None], traces[None, :, :, None, None], ["error_rate"])
            row = answer_question(question, evidence_of(values)).overall.metrics[0]
            alarms.append(_low(row) > 0 or _high(row) < 0)
    yield Figure(
        section=section, name="ramp 5 -> 50 % with drift: pooled", share=float(np.mean(pooled)), replicates=size
    )
    yield Figure(
        section=section,
        name="ramp 5 -> 50 % with drift: by detected period",
        share=float(np.mean(stratified)),
        replicates=size,
        low=0.03,
        high=0.06,
    )


def _is_crude_off(row: MetricRow) -> bool:
    crude, effect = row.crude_effect or 0.0, row.effect or 0.0
    return crude > effect - _low(row) or crude < effect - _high(row)


def sample_ratios(rng: np.random.Generator, size: int) -> Iterator[Figure]:
    """Alarms of the split's test in 100 looks, and what it finds."""
    section = "sample ratio, 100 looks up to 20,000"
    for name, share, wanted in (
        ("10 % as planned", 0.10, (0.0, 0.001)),
        ("11.5 % instead of 10 %", 0.115, (0.95, 1.0)),
    ):
        arrivals = rng.binomial(200, share, (4 * size, 100)).cumsum(axis=1)
        alarmed = [
            any(
                log_sample_ratio_e_value(np.array([[200 * (look + 1) - row[look], row[look]]]), np.array([[0.9, 0.1]]))
                > math.log(1000)
                for look in range(4, 100, 5)
            )
            for row in arrivals[:size]
        ]
        yield Figure(
            section=section, name=name, share=float(np.mean(alarmed)), replicates=size, low=wanted[0], high=wanted[1]
        )
