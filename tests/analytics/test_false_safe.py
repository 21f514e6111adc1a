"""Simulation, seeded: how often one look calls a rate safe whose true difference is the margin itself.

One-sided 2.5 % is the promise of a 95 % interval. Few events are no excuse: the gate of ten
events only keeps a regression from being called, so a rare rate must keep the promise too.
"""

import numpy as np
import pytest
from tests.analytics.evidence_cases import EVALUATOR, Arm, cell, rate, row_of
from tests.analytics.evidence_cases import answer as answered

from tracecanary.analytics.answer import CellState
from tracecanary.analytics.evidence import ArmSide

MARGIN = 0.01
LOOKS = 1500
PROMISE = 0.025
# Three standard errors of the simulation.
MONTE_CARLO = 3 * (PROMISE * (1 - PROMISE) / LOOKS) ** 0.5


@pytest.mark.parametrize("base_rate", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("traces", [300, 2000])
def test_rate_worse_by_the_margin_is_rarely_called_safe(base_rate: float, traces: int) -> None:
    random = np.random.default_rng([20261122, traces, round(base_rate * 1000)])
    base_hits = random.binomial(traces, base_rate, LOOKS)
    candidate_hits = random.binomial(traces, base_rate + MARGIN, LOOKS)

    safe = 0
    for pair in zip(base_hits.tolist(), candidate_hits.tolist(), strict=True):
        sides = [
            Arm(side=ArmSide(traces=traces), moments={("eval_fail_rate", EVALUATOR): rate(hits, traces)})
            for hits in pair
        ]
        row = row_of(answered(cell(*sides)).overall.metrics, "eval_fail_rate", EVALUATOR)
        safe += row.state in {CellState.SAFE, CellState.BETTER}

    assert safe / LOOKS <= PROMISE + MONTE_CARLO
