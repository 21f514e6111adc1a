"""Query parameters of the service: what they are called, what they accept, and the selections they make."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tracecanary.analytics.policy import MAX_PLANNED_TRACES, MIN_PLANNED_TRACES, Policy
from tracecanary.analytics.question import (
    ARM_DIMENSIONS,
    COHORT_DIMENSIONS,
    DEFAULT_CONFIDENCE,
    DEFAULT_MAX_COHORTS,
    MOST_COHORTS,
    Mode,
    Question,
    Selection,
    check_metrics,
)
from tracecanary.analytics.traces import MAX_TRACES, TRACE_STATES
from tracecanary.analytics.trajectory import DEFAULT_TRACES

_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# Eleven digits and more: eight are a date without dashes.
_EPOCH_MS = re.compile(r"\d{11,}")
# An unescaped "+02:00" of a URL arrives as " 02:00".
_UNESCAPED_OFFSET = re.compile(r" (?=\d\d:?\d\d$)")
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)


def parse_time(value: object) -> object:
    """Read ISO-8601 (UTC unless it says otherwise) or ms since the epoch, as Grafana's ${__from} gives.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(value, str):
        return value
    try:
        if _EPOCH_MS.fullmatch(value):
            return datetime.fromtimestamp(int(value) / 1000, UTC)
        return as_utc(datetime.fromisoformat(_UNESCAPED_OFFSET.sub("+", value) if "T" in value else value))
    except (ValueError, OverflowError, OSError):
        raise ValueError("use ISO-8601, such as 2026-11-01T12:00:00Z, or milliseconds since the epoch") from None


def as_utc(time: datetime) -> datetime:
    """Return `time` in UTC, which it is taken to be in if it does not say.

    Raises:
        ValueError: It lies outside the years 1970 to 2261, which ns since the epoch can count.
    """
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    if not _EARLIEST <= time < _LATEST:
        raise ValueError("use a time from 1970 to 2261")
    return time.astimezone(UTC)


def parse_step(value: object) -> object:
    """Read a duration such as 90, 90s, 15m, 1h or 1d, in whole seconds.

    Raises:
        ValueError: It is none.
    """
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) < 1:
        raise ValueError("use a duration of at least one second, such as 15m, 1h or 1d")
    return int(match[1]) * _SECONDS[match[2] or "s"]


Time = Annotated[datetime, BeforeValidator(parse_time)]
Step = Annotated[int, BeforeValidator(parse_step)]


_DIMENSIONS = f"{', '.join(COHORT_DIMENSIONS)}, or any that the configuration file declares"


class NoParameters(BaseModel):
    """An endpoint that takes none; one that is given anyway is refused, since it would do nothing."""

    model_config = ConfigDict(extra="forbid")


class SelectionParameters(BaseModel):
    """Parameters that choose traces; an unknown one is refused, since a misspelt filter would select everything."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    arm_by: str = Field(default="model", description=f"what tells the arms apart: {', '.join(ARM_DIMENSIONS)}")
    cohort_by: str = Field(default="cohort", description=f"what makes a cohort, one or more with commas: {_DIMENSIONS}")
    from_time: Time | None = Field(
        default=None, alias="from", description="traces that started then or later: ISO-8601 or epoch ms"
    )
    to_time: Time | None = Field(
        default=None, alias="to", description="traces that started before: ISO-8601 or epoch ms"
    )
    cohort: list[str] = Field(default=[], description="only these cohorts")
    route: list[str] = Field(default=[], description="only these routes")

    def selection(self, *arms: str) -> Selection:
        """Return the selection that the parameters make, of `arms` or of all."""
        return Selection(
            arms=arms,
            arm_by=self.arm_by,
            cohort_by=tuple(part.strip() for part in self.cohort_by.split(",") if part.strip()),
            cohorts=tuple(self.cohort),
            routes=tuple(self.route),
            from_time=self.from_time,
            to_time=self.to_time,
        )


class CompareParameters(SelectionParameters):
    """Parameters of a comparison."""

    base: str = Field(description="arm in use", examples=["gpt-4.1"])
    candidate: str = Field(description="arm that might take its place")
    evaluator: list[str] = Field(default=[], description="only these evaluators")
    metric: list[str] = Field(default=[], description="show only these metrics; the verdict looks at all")
    mode: Mode = Field(
        default="sequential",
        description="sequential: read at any time, as often as you like; fixed: read once, at at_n traces of each arm",
    )
    at_n: int | None = Field(default=None, description="with mode=fixed: traces of each arm at which to read")
    planned_traces: int | None = Field(
        default=None,
        ge=MIN_PLANNED_TRACES,
        le=MAX_PLANNED_TRACES,
        description="traces of each arm that the comparison is planned for, before any data; by default the policy's",
    )
    confidence: float = Field(default=DEFAULT_CONFIDENCE, description="coverage of the intervals, 0.5 to 0.9999")
    max_cohorts: int = Field(
        default=DEFAULT_MAX_COHORTS,
        ge=1,
        le=MOST_COHORTS,
        description="show the cohorts with the most traces, so many, and those that lose; the verdict looks at all",
    )

    def question(self, policy: Policy) -> Question:
        """Return the question that the parameters ask, under the release policy."""
        check_metrics(self.metric, [metric.name for metric in policy.metrics])
        if self.planned_traces is not None:
            policy = dataclasses.replace(policy, planned_traces=self.planned_traces)
        return Question(
            selection=self.selection(self.base, self.candidate),
            evaluators=tuple(self.evaluator),
            confidence=self.confidence,
            mode=self.mode,
            at_n=self.at_n,
            policy=policy,
            max_cohorts=self.max_cohorts,
        )


class TracesParameters(SelectionParameters):
    """Parameters of a list of traces."""

    arm: list[str] = Field(default=[], description="only these arms; all by default")
    state: str = Field(default="any", description=f"which traces: {', '.join(TRACE_STATES)}")
    limit: int = Field(default=50, description=f"no more traces than these, 1 to {MAX_TRACES}")


class TrajectoryParameters(SelectionParameters):
    """Parameters of a comparison of trajectories."""

    base: str = Field(description="arm in use", examples=["gpt-4.1"])
    candidate: str = Field(description="arm that might take its place")
    confidence: float = Field(default=DEFAULT_CONFIDENCE, description="coverage of the intervals, 0.5 to 0.9999")
    limit: int = Field(default=DEFAULT_TRACES, description="newest traces of each arm that are looked at")

    def question(self) -> Question:
        """Return the question that the parameters ask."""
        return Question(selection=self.selection(self.base, self.candidate), confidence=self.confidence)


class SeriesParameters(SelectionParameters):
    """Parameters of a metric over time."""

    metric: str = Field(description="name of the metric", examples=["eval_fail_rate"])
    arm: list[str] = Field(default=[], description="only these arms; all by default")
    evaluator: list[str] = Field(default=[], description="only these evaluators")
    step: Step = Field(default=3600, description="width of a bucket, such as 15m, 1h or 1d", examples=["1h"])
    by_cohort: bool = Field(default=False, description="a row for each cohort instead of one for all together")
