"""A lake whose rows get old: real compactions and derivation, and a clock that a test moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.answer import Answer
from tracecanary.analytics.compaction import compact
from tracecanary.analytics.comparison import compare
from tracecanary.analytics.config import CompactionSettings, DerivationSettings, Retention
from tracecanary.analytics.derived_definition import definition
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_state import DerivedState
from tracecanary.analytics.engine import Row
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.rebuild import rebuild_derived_state
from tracecanary.analytics.store import Store
from tracecanary.schema import CohortDimension, DimensionSource

HOUR_NS, HOUR_MS, DAY_H = 3_600 * 10**9, 3_600_000, 24
# 2026-06-01, in hours since the epoch.
START_H = 20_605 * DAY_H
KEPT = Retention(spans_days=2, evaluations_days=2, facts_days=4, rollups_days=8)
SPANS_ALONE = Retention(spans_days=2, evaluations_days=2)
PLAN = CohortDimension(name="plan", source=DimensionSource.ATTRIBUTE, key="plan")
ARMS = Selection(arms=("base", "candidate"))


def trace_id(number: int) -> str:
    return f"{number:032x}"


def span(number: int, *, hour: float, place: int = 0, **columns: Any) -> dict[str, Any]:
    return {
        "trace_id": trace_id(number),
        "span_id": f"{place:016x}",
        "parent_span_id": f"{0:016x}" if place else None,
        "kind": "llm",
        "model": "candidate" if number % 2 else "base",
        "start_unix_ns": int((START_H + hour) * HOUR_NS),
        "duration_ns": 10**9 * (1 + number % 3),
        "input_tokens": 5 + number,
        **columns,
    }


def judgement(number: int, *, hour: float, passed: bool) -> dict[str, Any]:
    return {
        "trace_id": trace_id(number),
        "name": "reward",
        "passed": passed,
        "received_unix_ns": int((START_H + hour) * HOUR_NS),
    }


@dataclass
class AgeingLake:
    """A lake, what is derived of it, and a clock that a test moves, in hours since the start."""

    folder: Path
    retention: Retention
    hour: float = 0.0
    dimensions: tuple[CohortDimension, ...] = ()
    store: Store | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Begin with a folder."""
        self.folder.mkdir()

    def now_ms(self) -> int:
        return int((START_H + self.hour) * HOUR_MS)

    def settings(self) -> DerivationSettings:
        return DerivationSettings(dimensions=self.dimensions, retention=self.retention)

    def opened(self) -> Store:
        self.store = self.store or Store(self.folder, self.settings(), clock_ms=self.now_ms)
        return self.store

    def compact(self, *, grace_s: float = 3600.0) -> None:
        settings = CompactionSettings(settle_s=0, grace_s=grace_s, retention=self.retention)
        compact(self.folder, settings, clock_ms=self.now_ms, before_expiry=self.opened().current_snapshot)

    def declare(self, dimensions: tuple[CohortDimension, ...]) -> None:
        self.dimensions, self.store = dimensions, None

    def retain(self, retention: Retention) -> None:
        self.retention, self.store = retention, None

    def rebuild(self) -> None:
        self.opened().current_snapshot()
        rebuild_derived_state(self.folder, self.settings(), may_drop_expired=True, clock_ms=self.now_ms)
        self.store = None

    def state(self) -> DerivedState:
        self.opened().current_snapshot()
        return DerivedFolder(self.folder / "derived", definition(self.settings())).newest()

    def rows(self, query: str) -> list[Row]:
        with self.opened().session() as session:
            return session.rows(query)

    def facts(self) -> dict[str, Row]:
        """Return what is known of each trace, but for what tells how it came to be known."""
        return {
            row["trace_id"]: {name: value for name, value in row.items() if name != "revision"}
            for row in self.rows("live_facts_v1")
            if row["rollup_key"] is not None
        }

    def answer(self, selection: Selection = ARMS) -> Answer:
        return compare(self.opened(), Question(selection=selection)).answer


SUMS = {
    "rollup_groups_sum_v2": "day_unix_ns",
    "rollup_histograms_sum_v1": "day_unix_ns",
    "rollup_hours_sum_v1": "hour_unix_ns",
    "rollup_evaluators_sum_v1": "day_unix_ns",
    "rollup_models_sum_v2": "day_unix_ns",
    "rollup_clusters_sum_v1": "day_unix_ns",
}


def sums_since(lake: AgeingLake, since_ns: int) -> dict[str, list[str]]:
    """Return the rollups of days since a time that have come to something."""
    return {
        query: sorted(
            str(row)
            for row in lake.rows(query)
            if row[time] >= since_ns and any(row.get(name) for name in ("traces", "n", "judged", "all_traces"))
        )
        for query, time in SUMS.items()
    }


def lake_of_ten_days(folder: Path, retention: Retention = KEPT) -> AgeingLake:
    """Return a lake with four traces at noon of each of ten days, at the end of them, before any compaction."""
    lake = AgeingLake(folder / "lake", retention, hour=10 * DAY_H)
    for day in range(10):
        traces = range(4 * day, 4 * day + 4)
        write_spans(lake.folder, [span(number, hour=day * DAY_H + 12 + number % 4 / 100) for number in traces])
        write_evaluations(lake.folder, [judgement(traces[0], hour=day * DAY_H + 13, passed=day % 2 > 0)])
    return lake
