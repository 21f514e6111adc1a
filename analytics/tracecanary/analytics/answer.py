"""The answer of a comparison, as it leaves over HTTP: `/compare`, `/compare/rows`, the report and the command line.

One definition serves who makes the answer and who reads it. Undefined is null, never NaN and never absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """What to do with the candidate. For one cohort, `roll_back` means: keep this cohort on the base."""

    SHIP = "ship"
    NARROW = "narrow"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class CellState(StrEnum):
    """What the evidence says of one metric in one cohort; the interval is of harm (larger is worse)."""

    SAFE = "safe"  # the whole interval lies below the margin
    BETTER = "better"  # ... and below no difference
    HARM = "harm"  # the whole interval lies above the margin
    WORSE = "worse"  # above no difference, but it may still lie within the margin
    UNSURE = "unsure"
    NO_DATA = "no_data"  # too few traces, or nothing to compare


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, allow_inf_nan=False)


class ArmValue(_Frozen):
    """A metric in one arm: its value (null when undefined) and the number of traces behind it."""

    value: float | None
    n: int


class ArmCounts(_Frozen):
    """Traces in each arm."""

    base: int
    candidate: int


class MetricRow(_Frozen):
    """One metric compared: `effect`, its interval and `margin` are on one scale.

    `difference`: candidate minus base, margin 0.01 is one percentage point. `ratio`: candidate over base, margin 1.1
    is ten percent more.
    """

    metric: str
    evaluator: str | None
    unit: str
    base: ArmValue
    candidate: ArmValue
    effect: float | None
    effect_kind: Literal["difference", "ratio"]
    ci_low: float | None
    ci_high: float | None
    margin: float | None
    state: CellState
    reason: str | None
    more_traces: int | None = Field(
        description="further traces each arm needs for a decision, or until the one look; null when unknown"
    )
    crude_effect: float | None = Field(default=None, description="the effect without regard to the mix of cohorts")
    role: Literal["guardrail", "informative"] = Field(default="guardrail", description="by the release policy")
    is_required: bool = Field(default=False, description="nothing ships without it")
    is_critical: bool = Field(default=False, description="harm in it rolls the candidate back as a whole")
    ci_confidence: float | None = Field(
        default=None, description="of the interval: raised for a harm that stands among many cells"
    )
    detectable_effect: float | None = Field(
        default=None, description="would be told from none by now with a chance of 80 %, on the effect's scale"
    )
    latest_effect: float | None = Field(
        default=None, description="overall, in the latest period of the ramp alone; null with one period"
    )
    i_squared: float | None = Field(
        default=None, description="overall: share of the differences between cohorts' effects that is no chance, 0..1"
    )
    heterogeneity_p_value: float | None = Field(
        default=None, description="overall: Cochran's test that every cohort has the same effect, for one look"
    )


class Finding(_Frozen):
    """A loss with a name.

    `negative_transfer`: a cohort that loses while the whole gains. `forgetting`: a critical behaviour that is no longer
    kept. `won_offline_loses_live`: held or won on held-out answers, and lost in live traffic.
    """

    kind: Literal["negative_transfer", "forgetting", "won_offline_loses_live"]
    cohort: str | None
    metric: str
    evaluator: str | None
    text: str


class PairedRow(_Frozen):
    """One metric over pairs: the base's and the candidate's answer to the same requests. The unit is the pair.

    `p_value` is McNemar's exact one, for one look; the interval is of the question's mode.
    """

    cohort: str | None = Field(description="null for all cohorts")
    metric: str
    evaluator: str | None
    pairs: int
    base_only: int = Field(description="pairs that only the base failed")
    candidate_only: int = Field(description="pairs that only the candidate failed")
    effect: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    margin: float
    state: CellState


class PartCohort(_Frozen):
    """One cohort in one part of the traces; `verdict` is what this part alone says."""

    cohort: str
    verdict: Verdict
    traces: ArmCounts
    metrics: list[MetricRow]


class Part(_Frozen):
    """A part of the traces, compared like all of them: `metrics` over all its cohorts, and by cohort."""

    traces: ArmCounts
    metrics: list[MetricRow]
    cohorts: list[PartCohort]


class Paired(_Frozen):
    """Pairs beside all traces: a held-out data set or mirrored traffic. `unpaired` counts traces without a partner.

    `held_out` are the traces that have a pair id, `live` those that have none: null unless both arms have both.
    """

    pairs: int
    unpaired: ArmCounts
    rows: list[PairedRow]
    held_out: Part | None = None
    live: Part | None = None


class NotShown(_Frozen):
    """Smaller cohorts that were judged like all others and are left out: how many, with what part of the traffic.

    `weight` is their share of the compared traces, 0..1. `losing` of them have a loss that stands and stay on the base.
    """

    cohorts: int
    traces: ArmCounts
    weight: float
    losing: int


class Overall(_Frozen):
    """The candidate as a whole. `traces` counts all; the metrics leave out cohorts that only one of the arms saw.

    Effects are those over one mix of cohorts and periods. `settled_by` is about when the last unsettled guardrail will
    have its traces at the present rate; null when none is waited for, or none can be said.
    """

    verdict: Verdict
    reasons: list[str]
    traces: ArmCounts
    metrics: list[MetricRow]
    findings: list[Finding] = []
    settled_by: datetime | None = None
    not_shown: NotShown | None = Field(default=None, description="cohorts beyond max_cohorts; null when all are shown")


class Examples(_Frozen):
    """Trace ids worth opening: failed ones first, then the slowest."""

    base: list[str]
    candidate: list[str]


class CohortAnswer(_Frozen):
    """The candidate in one cohort.

    `weight` is the cohort's share of the compared traces, 0..1: 0 for a cohort that only one of the arms saw.
    """

    cohort: str
    verdict: Verdict
    reasons: list[str]
    weight: float
    traces: ArmCounts
    metrics: list[MetricRow]
    examples: Examples


class Routing(_Frozen):
    """Cohorts that may move to the candidate, should stay on the base, or are not verified yet.

    A cohort that the answer does not show is on `base` if it loses, else on no list: leave it where it is.
    """

    candidate: list[str]
    base: list[str]
    unverified: list[str]
    not_listed: int = Field(default=0, description="cohorts that are not shown and on no list")


Figures = dict[str, float | int | str | list[str] | None]


class Check(_Frozen):
    """One check of whether the arms can be compared at all."""

    state: Literal["ok", "warning", "unknown"]
    reason: str | None
    is_blocking: bool = Field(default=False, description="holds what would ship: the difference may not be the model's")
    figures: Figures


class Checks(_Frozen):
    """What could explain a difference other than the model."""

    sample_ratio: Check
    mix_shift: Check
    simpson: Check
    contamination: Check
    coverage: Check
    losses: Check
    confounders: Check
    sampling: Check = Check(state="unknown", reason=None, figures={})
    costs: Check = Check(state="unknown", reason=None, figures={})
    time: Check = Check(state="unknown", reason=None, figures={})
    clusters: Check = Check(state="unknown", reason=None, figures={})
    plan: Check = Check(state="unknown", reason=None, figures={})
    retention: Check = Check(state="unknown", reason=None, figures={})


class QuestionEcho(_Frozen):
    """The question as it was understood; `spec_hash` names the frozen settings behind the answer."""

    base: str
    candidate: str
    arm_by: str
    cohort_by: str
    from_time: datetime | None = Field(alias="from")
    to_time: datetime | None = Field(alias="to")
    cohort: list[str] = Field(default=[], description="only these cohorts; empty for all")
    route: list[str] = Field(default=[], description="only these routes; empty for all")
    evaluator: list[str] = Field(default=[], description="judged by these only; empty for all")
    mode: Literal["sequential", "fixed"]
    at_n: int | None = Field(default=None, description="traces of each arm at which mode=fixed reads, once")
    confidence: float
    planned_traces: int | None = Field(default=None, description="traces of each arm planned before any data")
    caps: dict[str, float] = Field(default={}, description="largest value that a metric of means counts with, frozen")
    spec_hash: str


class Answer(_Frozen):
    """The answer to "is the candidate safe to ship in place of the base, and for whom?"."""

    question: QuestionEcho
    overall: Overall
    cohorts: list[CohortAnswer]
    routing: Routing
    checks: Checks
    paired: Paired | None = Field(default=None, description="null without any pair")


class AnswerRow(_Frozen):
    """One metric row with its context, flat: what a table or a Grafana panel reads. `cohort` is null for overall."""

    time: datetime
    base: str
    candidate: str
    cohort: str | None
    verdict: Verdict
    metric: str
    evaluator: str | None
    unit: str
    base_value: float | None
    base_n: int
    candidate_value: float | None
    candidate_n: int
    effect: float | None
    effect_kind: Literal["difference", "ratio"]
    ci_low: float | None
    ci_high: float | None
    margin: float | None
    state: CellState
    reason: str | None
    more_traces: int | None


_NOT_FLAT = {
    *("base", "candidate", "crude_effect", "role", "is_required", "is_critical", "ci_confidence"),
    *("detectable_effect", "latest_effect", "i_squared", "heterogeneity_p_value"),
}


def with_metrics(answer: Answer, metrics: Sequence[str]) -> Answer:
    """Leave out the rows of metrics not asked for; none asked for are all. The verdict looked at every one."""
    if not metrics:
        return answer

    def chosen(rows: Sequence[MetricRow]) -> list[MetricRow]:
        return [row for row in rows if row.metric in metrics]

    overall = answer.overall.model_copy(update={"metrics": chosen(answer.overall.metrics)})
    cohorts = [cohort.model_copy(update={"metrics": chosen(cohort.metrics)}) for cohort in answer.cohorts]
    return answer.model_copy(update={"overall": overall, "cohorts": cohorts})


def answer_rows(answer: Answer, *, time: datetime) -> list[AnswerRow]:
    """Flatten `answer`: the overall rows, then each cohort's; `time` stamps every row."""
    groups: list[tuple[str | None, Verdict, list[MetricRow]]] = [
        (None, answer.overall.verdict, answer.overall.metrics),
    ]
    groups += [(cohort.cohort, cohort.verdict, cohort.metrics) for cohort in answer.cohorts]
    return [
        AnswerRow(
            time=time,
            base=answer.question.base,
            candidate=answer.question.candidate,
            cohort=cohort,
            verdict=verdict,
            base_value=row.base.value,
            base_n=row.base.n,
            candidate_value=row.candidate.value,
            candidate_n=row.candidate.n,
            **row.model_dump(exclude=_NOT_FLAT),
        )
        for cohort, verdict, rows in groups
        for row in rows
    ]
