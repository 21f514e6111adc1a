"""Hand-written answers: every number stands here, so that the tests can name the text it becomes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tracecanary.analytics.answer import (
    Answer,
    ArmCounts,
    ArmValue,
    CellState,
    Check,
    Checks,
    CohortAnswer,
    Examples,
    MetricRow,
    Overall,
    Paired,
    Part,
    PartCohort,
    QuestionEcho,
    Routing,
    Verdict,
)
from tracecanary.analytics.metrics import METRICS_BY_NAME, MetricKind

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "gpt-4.1-2025-04-14"
TUNED = "ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm"
HOSTILE = "<script>alert(1)</script>|[x](javascript:1) @team `*_"


def _row(
    metric: str,
    values: tuple[float | None, float | None],
    effect: float | None = None,
    interval: tuple[float | None, float | None] = (None, None),
    state: str = "no_data",
    **more: Any,
) -> MetricRow:
    known = METRICS_BY_NAME[metric]
    n = more.pop("n", (40, 40))
    return MetricRow(
        metric=metric,
        evaluator=more.pop("evaluator", "task_reward" if metric == "eval_fail_rate" else None),
        unit=known.unit,
        base=ArmValue(value=values[0], n=0 if values[0] is None else n[0]),
        candidate=ArmValue(value=values[1], n=0 if values[1] is None else n[1]),
        effect=effect,
        effect_kind="difference" if known.kind is MetricKind.RATE else "ratio",
        ci_low=interval[0],
        ci_high=interval[1],
        margin=known.margin,
        state=CellState(state),
        reason=more.pop("reason", None),
        more_traces=more.pop("more_traces", None),
        role="guardrail" if known.is_guardrail else "informative",
        is_required=known.is_required,
        is_critical=known.is_critical,
    )


def _cohort(name: str, verdict: str, weight: float, traces: tuple[int, int], rows: list[MetricRow]) -> CohortAnswer:
    return CohortAnswer(
        cohort=name,
        verdict=Verdict(verdict),
        reasons=["a guardrail is not settled"] if verdict != "ship" else [],
        weight=weight,
        traces=ArmCounts(base=traces[0], candidate=traces[1]),
        metrics=rows,
        examples=Examples(base=["0af7651916cd43dd8448eb211c80319c"], candidate=["4bf92f3577b34da6a3ce929d0e0e4736"]),
    )


def _answer(
    verdict: str,
    traces: tuple[int, int],
    rows: list[MetricRow],
    cohorts: list[CohortAnswer],
    *,
    reasons: list[str] | None = None,
    routing: tuple[list[str], list[str], list[str]] = ([], [], []),
    warnings: dict[str, str] | None = None,
    candidate: str = TUNED,
) -> Answer:
    warned = warnings or {}
    return Answer(
        question=QuestionEcho.model_validate(
            {
                "base": BASE,
                "candidate": candidate,
                "arm_by": "model",
                "cohort_by": "domain",
                "from": datetime(2025, 11, 1, 8, 30, tzinfo=UTC),
                "to": None,
                "mode": "fixed",
                "confidence": 0.95,
                "spec_hash": "b3f1c2",
            }
        ),
        overall=Overall(
            verdict=Verdict(verdict),
            reasons=reasons or [],
            traces=ArmCounts(base=traces[0], candidate=traces[1]),
            metrics=rows,
        ),
        cohorts=cohorts,
        routing=Routing(candidate=routing[0], base=routing[1], unverified=routing[2]),
        checks=Checks(
            **{
                name: Check(
                    state="warning" if name in warned else "unknown" if name == "losses" else "ok",
                    reason=warned.get(name),
                    figures={"base": 140, "share": 0.1234567} if name == "coverage" else {},
                )
                for name in Checks.model_fields
            }
        ),
    )


@pytest.fixture
def side_by_side_answer(narrow_answer: Answer) -> Answer:
    """Held-out answers that telecom won, and live traffic in which it loses."""

    def part(telecom: MetricRow) -> Part:
        overall = [_row("eval_fail_rate", (0.30, 0.29), -0.01, (-0.03, 0.008), "safe", n=(900, 900))]
        cohort = PartCohort(
            cohort="telecom", verdict=Verdict.HOLD, traces=ArmCounts(base=400, candidate=400), metrics=[telecom]
        )
        return Part(traces=ArmCounts(base=900, candidate=900), metrics=overall, cohorts=[cohort])

    won = _row("eval_fail_rate", (0.30, 0.22), -0.08, (-0.12, -0.04), "better", n=(400, 400))
    lost = _row("eval_fail_rate", (0.30, 0.42), 0.12, (0.041, 0.197), "harm", n=(400, 400))
    paired = Paired(pairs=400, unpaired=ArmCounts(base=1000, candidate=1), rows=[], held_out=part(won), live=part(lost))
    return narrow_answer.model_copy(update={"paired": paired})


@pytest.fixture
def narrow_answer() -> Answer:
    """Better overall, harmful in telecom, too small in travel."""
    overall = [
        _row("eval_fail_rate", (0.55, 0.343), -0.207, (-0.310, -0.099), "better", n=(1400, 1400)),
        _row("error_rate", (0.01, 0.012), 0.002, (-0.004, 0.0085), "safe", n=(1400, 1400)),
        _row("latency_p50", (31.2, 34.8), 1.115, (1.05, 1.18), "worse", n=(1400, 1400)),
        _row("latency_p99", (88.0, 120.0), 1.364, (1.02, 1.82), "worse", n=(1400, 1400)),
        _row("cost_per_trace", (0.0630, 0.0895), 1.42, (1.33, 1.51), "harm", n=(1400, 1400)),
        _row("output_tokens", (812.0, 790.0), 0.973, (0.95, 0.99), "better", n=(1400, 1400)),
    ]
    airline = [
        _row("eval_fail_rate", (0.61, 0.30), -0.31, (-0.42, -0.19), "better", n=(700, 700)),
        _row("cost_per_trace", (0.06, 0.062), 1.033, (0.99, 1.08), "safe", n=(700, 700)),
    ]
    telecom = [
        _row("eval_fail_rate", (0.30, 0.42), 0.12, (0.041, 0.197), "harm", n=(650, 650)),
        _row("cost_per_trace", (0.066, 0.25), 3.79, (3.1, 4.6), "harm", n=(650, 650)),
        _row("retry_rate", (0.01, 0.08), 0.07, (0.03, 0.11), "harm", n=(650, 650)),
    ]
    travel = [_row("eval_fail_rate", (0.5, 0.4), -0.1, (-0.3, 0.12), "unsure", n=(50, 50), more_traces=1237)]
    return _answer(
        "narrow",
        (1400, 1400),
        overall,
        [
            _cohort("airline", "ship", 0.5, (700, 700), airline),
            _cohort("telecom", "roll_back", 0.464, (650, 650), telecom),
            _cohort("travel", "hold", 0.036, (50, 50), travel),
        ],
        reasons=["telecom: task_reward fails 12.0 pp more often"],
        routing=(["airline"], ["telecom"], ["travel"]),
    )


@pytest.fixture
def hold_answer() -> Answer:
    """Some 20 to 40 runs a cohort: p99 is unbounded, the candidate's cost unpriced."""
    unbounded = "p99 has no upper bound below 381 traces an arm"
    rare = "fewer than 10 events"
    unpriced = "no price for the candidate's model; add it to the price file"

    def rows(scale: int) -> list[MetricRow]:
        return [
            _row("eval_fail_rate", (0.5, 0.45), -0.05, (-0.15, 0.06), "unsure", n=(scale, scale), more_traces=1240),
            _row("error_rate", (0.0, 0.0), 0.0, (-0.03, 0.03), "no_data", n=(scale, scale), reason=rare),
            _row("latency_p50", (31.2, 34.8), 1.115, (0.98, 1.27), "unsure", n=(scale, scale), more_traces=310),
            _row(
                "latency_p99", (88.0, 120.0), 1.364, (0.81, None), "no_data",
                n=(scale, scale), reason=unbounded, more_traces=900,
            ),
            _row("cost_per_trace", (0.063, None), reason=unpriced, n=(scale, scale)),
            _row("tool_error_rate", (None, None), reason="no tool call was recorded"),
        ]  # fmt: skip

    return _answer(
        "hold",
        (100, 96),
        rows(96),
        [
            _cohort("airline", "hold", 0.4, (40, 38), rows(38)),
            _cohort("retail", "hold", 0.4, (38, 38), rows(38)),
            _cohort("telecom", "hold", 0.2, (22, 20), rows(20)),
        ],
        reasons=["too few traces", unpriced],
        routing=([], [], ["airline", "retail", "telecom"]),
        warnings={"coverage": "only 71 % of the candidate's traces were judged"},
    )


@pytest.fixture
def ship_answer() -> Answer:
    """Everything settled, both cohorts too."""
    rows = [
        _row("eval_fail_rate", (0.05, 0.031), -0.019, (-0.025, -0.012), "better", n=(20000, 20000)),
        _row("error_rate", (0.01, 0.0101), 0.0001, (-0.002, 0.0022), "safe", n=(20000, 20000)),
        _row("cost_per_trace", (0.0630, 0.00042), 0.00667, (0.0064, 0.0070), "better", n=(20000, 20000)),
    ]
    return _answer(
        "ship",
        (20000, 20000),
        rows,
        [_cohort("airline", "ship", 0.6, (12000, 12000), rows), _cohort("retail", "ship", 0.4, (8000, 8000), rows)],
        routing=(["airline", "retail"], [], []),
    )


@pytest.fixture
def roll_back_answer() -> Answer:
    """Harmful overall and in one of two cohorts."""
    harm = _row("error_rate", (0.01, 0.09), 0.08, (0.06, 0.10), "harm", n=(900, 900))
    safe = _row("error_rate", (0.01, 0.01), 0.0, (-0.009, 0.009), "safe", n=(900, 900))
    return _answer(
        "roll_back",
        (1800, 1800),
        [_row("eval_fail_rate", (0.5, 0.3), -0.2, (-0.25, -0.15), "better", n=(1800, 1800)), harm],
        [_cohort("airline", "roll_back", 0.5, (900, 900), [harm]), _cohort("retail", "ship", 0.5, (900, 900), [safe])],
        routing=(["retail"], ["airline"], []),
    )


@pytest.fixture
def empty_arm_answer() -> Answer:
    """No trace of the candidate yet."""
    rows = [
        _row("eval_fail_rate", (0.5, None), reason="no trace of the candidate", n=(140, 0), more_traces=1865),
        _row("error_rate", (0.01, None), reason="no trace of the candidate", n=(140, 0)),
    ]
    return _answer("hold", (140, 0), rows, [], reasons=["no trace of the candidate in this window"])


@pytest.fixture
def hostile_answer() -> Answer:
    """Names made to break out of a page, a table, a terminal or a comment."""
    row = _row("eval_fail_rate", (0.5, 0.45), -0.05, (-0.15, 0.06), "unsure", evaluator=HOSTILE, reason=HOSTILE)
    return _answer(
        "hold",
        (40, 40),
        [row],
        [_cohort(HOSTILE, "hold", 1.0, (40, 40), [row]), _cohort("\x1b[31mred\u202eder", "hold", 0.0, (0, 0), [])],
        reasons=[HOSTILE],
        routing=([], [], [HOSTILE]),
        warnings={"simpson": HOSTILE},
        candidate=HOSTILE,
    )


@pytest.fixture
def make_row() -> Callable[..., MetricRow]:
    """Build one row: metric, (base, candidate), effect, (low, high), state."""
    return _row
