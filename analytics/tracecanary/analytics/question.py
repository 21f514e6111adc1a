"""What is asked: the arms, how they are told apart, and which traces count."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from tracecanary.analytics.policy import MAX_PLANNED_TRACES, Policy
from tracecanary.schema import InvalidQuestionError

ArmBy = Literal["model", "variant", "release", "prompt"]
Mode = Literal["sequential", "fixed"]
# All traces, those with a pair id (answers to the same requests), or those without one (live traffic beside them).
Pairs = Literal["all", "with", "without"]
CohortDimension = Literal["cohort", "route", "service", "environment", "release", "prompt"]
ARM_DIMENSIONS: tuple[str, ...] = get_args(ArmBy)
COHORT_DIMENSIONS: tuple[str, ...] = get_args(CohortDimension)

# Rollups have a row for each combination of cohorts, day and group: a dimension of users would make them as large as
# the lake, and no cohort of it would ever have traces enough.
MAX_DIMENSION_VALUES = 1_000
DEFAULT_CONFIDENCE = 0.95
# An answer takes some 8 kB a cohort.
DEFAULT_MAX_COHORTS, MOST_COHORTS = 200, 1_000
# Above it, correction for many cells would ask for more certainty than a float can hold.
_MIN_CONFIDENCE, _MAX_CONFIDENCE = 0.5, 0.9999
_FIRST_NS, _LAST_NS = 0, 2**63 - 1
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which traces count, and how they are told apart. Times are UTC, `from_time` inclusive, `to_time` exclusive.

    Raises:
        InvalidQuestionError: A field has no valid value; names the public parameter and what it may be.
    """

    arms: tuple[str, ...] = ()
    arm_by: str = "model"
    cohort_by: tuple[str, ...] = ("cohort",)
    cohorts: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    from_time: datetime | None = None
    to_time: datetime | None = None
    pairs: Pairs = "all"

    def __post_init__(self) -> None:
        """Refuse what makes no selection."""
        if self.arm_by not in ARM_DIMENSIONS:
            raise InvalidQuestionError("arm_by", self.arm_by, f"Use one of {', '.join(ARM_DIMENSIONS)}.")
        if not self.cohort_by:
            known = f"{', '.join(COHORT_DIMENSIONS)}, and what [cohorts.dimensions] declares"
            raise InvalidQuestionError("cohort_by", "", f"Use one or more of {known}.")
        if len(set(self.cohort_by)) < len(self.cohort_by):
            raise InvalidQuestionError("cohort_by", ",".join(self.cohort_by), "Name each dimension once.")
        if self.from_time is not None and self.to_time is not None and self.from_time >= self.to_time:
            raise InvalidQuestionError(
                "from", self.from_time.isoformat(), f"It must lie before 'to', which is {self.to_time.isoformat()}."
            )

    def parameters(self) -> Mapping[str, Any]:
        """Return the parameters of `queries/question_traces_v1.sql`."""
        return {
            "arm_by": self.arm_by,
            "arms": list(self.arms),
            "cohort_by": list(self.cohort_by),
            "cohorts": list(self.cohorts),
            "routes": list(self.routes),
            "pairs": self.pairs,
            "from_ns": _FIRST_NS if self.from_time is None else unix_ns(self.from_time),
            "to_ns": _LAST_NS if self.to_time is None else unix_ns(self.to_time),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A comparison of two arms. Empty `evaluators` mean all of them.

    In the mode `sequential` the answer may be read at any time, as often as one likes. In `fixed` it is read once, when
    both arms have `at_n` traces, and stays as it was then. `max_cohorts` are shown for their size, whatever is judged.

    Raises:
        InvalidQuestionError: A field has no valid value; names the public parameter and what it may be.
    """

    selection: Selection
    evaluators: tuple[str, ...] = ()
    confidence: float = DEFAULT_CONFIDENCE
    mode: Mode = "sequential"
    at_n: int | None = None
    policy: Policy = field(default_factory=Policy)
    max_cohorts: int = DEFAULT_MAX_COHORTS

    def __post_init__(self) -> None:
        """Refuse what makes no question."""
        for parameter, place in (("base", 0), ("candidate", 1)):
            if len(self.selection.arms) <= place or not self.selection.arms[place]:
                raise InvalidQuestionError(parameter, None, "Name the base and the candidate.")
        if self.base == self.candidate:
            raise InvalidQuestionError("candidate", self.candidate, "It is the base too: name two different arms.")
        if not _MIN_CONFIDENCE <= self.confidence <= _MAX_CONFIDENCE:
            raise InvalidQuestionError(
                "confidence",
                self.confidence,
                f"Use a fraction from {_MIN_CONFIDENCE} to {_MAX_CONFIDENCE}, such as 0.95.",
            )
        if not 1 <= self.max_cohorts <= MOST_COHORTS:
            raise InvalidQuestionError("max_cohorts", self.max_cohorts, f"Use a number from 1 to {MOST_COHORTS:,}.")
        if self.mode == "fixed" and self.at_n is None:
            raise InvalidQuestionError(
                "at_n", None, "mode=fixed reads once: name the traces of each arm at which, such as at_n=5000."
            )
        if self.mode != "fixed" and self.at_n is not None:
            raise InvalidQuestionError("at_n", self.at_n, "It goes with mode=fixed alone; leave it out.")
        if self.at_n is not None and not 1 <= self.at_n <= MAX_PLANNED_TRACES:
            raise InvalidQuestionError("at_n", self.at_n, f"Use 1 to {MAX_PLANNED_TRACES:,}.")

    @property
    def base(self) -> str:
        """Arm that is in use."""
        return self.selection.arms[0]

    @property
    def candidate(self) -> str:
        """Arm that might take its place."""
        return self.selection.arms[1]


def check_dimensions(selection: Selection, *, declared: Sequence[str], wide: Collection[str] = ()) -> None:
    """Refuse a cohort dimension that nobody knows, or that has more values than cohorts can have.

    Args:
        selection: What is asked.
        declared: Dimensions of the installation's own, beside those of every lake.
        wide: Those of them with too many values.

    Raises:
        InvalidQuestionError: Names the dimension and those there are.
    """
    known = [name for name in (*COHORT_DIMENSIONS, *declared) if name not in wide]
    for dimension in selection.cohort_by:
        if dimension in wide:
            many = f"It has more than {MAX_DIMENSION_VALUES:,} values: no cohort of it would have traces enough."
            raise InvalidQuestionError("cohort_by", dimension, f"{many} Use one or more of {', '.join(known)}.")
        if dimension not in known:
            remedy = f"Use one or more of {', '.join(known)}, with commas; [cohorts.dimensions] declares others."
            raise InvalidQuestionError("cohort_by", dimension, remedy)


def check_metrics(metrics: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a metric that is not in the catalogue.

    Raises:
        InvalidQuestionError: Names the metric and the catalogue.
    """
    for metric in metrics:
        if metric not in known:
            raise InvalidQuestionError("metric", metric, f"Use one of {', '.join(known)}.")


def time_of(unix_ns: int) -> datetime:
    """Return ns since the epoch as a UTC time, to the microsecond."""
    return datetime.fromtimestamp(unix_ns // _NS_PER_S, UTC).replace(microsecond=unix_ns % _NS_PER_S // 1000)


def unix_ns(time: datetime) -> int:
    """Return a UTC time as ns since the epoch."""
    seconds = int(time.replace(microsecond=0).timestamp())
    return seconds * _NS_PER_S + time.microsecond * 1000
