"""What is derived step by step equals what is derived at once, and what plain Python derives."""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.fact_reference import (
    GROUP_SUMS,
    HOUR_SUMS,
    Record,
    Sums,
    facts_of,
    group_sums,
    histograms,
    hour_sums,
    measure_sums,
    newest_judgements,
)
from tests.analytics.fact_traces import make_trace, poorer, settings_of
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.derived_build import Builder
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_state import DerivedState, Listing
from tracecanary.analytics.derived_tables import SUM_TABLES, open_derived, rollup_query
from tracecanary.analytics.engine import Engine, Row
from tracecanary.schema import LakeTable, landing_segments

# `make facts-proof` takes 10,000.
TRACES = int(os.environ.get("TRACECANARY_TEST_TRACES", "500"))


class GrowingLake:
    """A lake that gets segments, and what is derived from it; compaction makes one file of the segments there are."""

    def __init__(self, folder: Path, *, batch_spans: int = 10_000) -> None:
        self.lake = folder
        self.compacted: dict[LakeTable, list[str]] = {table: [] for table in LakeTable}
        self.adopted: set[str] = set()
        self.derived = DerivedFolder(folder / "derived", "one")
        self.settings = settings_of(folder)
        self.builder = Builder(self.derived, self.fetch, settings=self.settings, batch_spans=batch_spans)
        self.state = DerivedState()

    def fetch(self, names: Sequence[str]) -> list[Path]:
        return [self.lake / name for name in names]

    def listing(self) -> Listing:
        files = {
            table: [path.relative_to(self.lake).as_posix() for path in landing_segments(self.lake, table)]
            + self.compacted[table]
            for table in LakeTable
        }
        return Listing(
            files={table: [name for name in names if name not in self.adopted] for table, names in files.items()},
            compacted=frozenset(name for names in self.compacted.values() for name in names),
            adopted=frozenset(self.adopted),
        )

    def compact(self) -> None:
        for table, files in self.listing().files.items():
            if files:
                name = f"compacted/{table}-{len(self.adopted)}.parquet"
                (self.lake / "compacted").mkdir(exist_ok=True)
                tables = [pq.read_table(path) for path in self.fetch(files)]
                pq.write_table(pa.concat_tables(tables), self.lake / name)
                self.adopted |= set(files)
                self.compacted[table].append(name)

    def advance(self) -> None:
        self.state = self.builder.advance(self.state, self.listing())

    def rebuilt(self) -> dict[str, list[Any]]:
        folder = DerivedFolder(self.lake / "derived", "two")
        state = Builder(folder, self.fetch, settings=self.settings).advance(DerivedState(), self.listing())
        return derived_rows(folder, state)

    def rows(self) -> dict[str, list[Any]]:
        return derived_rows(self.derived, self.state)


def derived_rows(folder: DerivedFolder, state: DerivedState) -> dict[str, list[Any]]:
    """Everything derived, in a form that does not depend on the steps that led there."""
    with Engine() as engine:
        open_derived(engine, folder, state)
        rows = {table: engine.rows(rollup_query(f"{table}_sum")) for table in SUM_TABLES}
        rows |= {table: engine.rows(f"live_{table}_v1") for table in ("facts", "judgements", "trace_models")}
    rows["rollup_keys"] = [row for row in rows["rollup_keys"] if row["rollup_key"] in _used_keys(rows)]
    return {table: sorted(map(_settled, kept), key=str) for table, kept in rows.items() for kept in [_counted(kept)]}


def _used_keys(rows: Mapping[str, list[Row]]) -> set[int]:
    return {row["rollup_key"] for row in rows["facts"]}


def _counted(rows: list[Row]) -> list[Row]:
    """Leave out sums that have come to nothing."""
    if not rows or "trace_id" in rows[0]:
        return rows
    name = next((name for name in ("traces", "all_traces", "judged", "stated") if name in rows[0]), None)
    return [row for row in rows if name is None or row[name] != 0]


def _settled(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "revision"}


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # a test, no secret


def deliver(
    rng: random.Random, lake: GrowingLake, traces: int, steps: int, *, may_compact: bool
) -> tuple[list[Record], list[Record]]:
    """Write the rows of `traces` in `steps`, in any order and some twice; derive in between."""
    made = [make_trace(rng, number) for number in range(traces)]
    spans = [span for members, _ in made for span in members]
    evaluations = [one for _, members in made for one in members]
    parcels: dict[int, tuple[list[Record], list[Record]]] = defaultdict(lambda: ([], []))
    for span in spans:
        parcels[rng.randrange(steps)][0].append(span)
        if rng.random() < 0.1:
            parcels[rng.randrange(steps)][0].append(rng.choice([span, poorer(span)]))
    for one in evaluations:
        parcels[rng.randrange(steps)][1].append(one)
    for step in range(steps):
        new_spans, new_evaluations = parcels[step]
        rng.shuffle(new_spans)
        if new_spans:
            write_spans(lake.lake, new_spans)
        if new_evaluations:
            write_evaluations(lake.lake, new_evaluations)
        if may_compact and rng.random() < 0.3:
            lake.compact()  # before the new rows are derived: what it makes of them is new
        if rng.random() < 0.8:
            lake.advance()
        if may_compact and rng.random() < 0.3:
            lake.compact()  # after: it brings nothing new
    lake.advance()
    return spans, evaluations


def check_equal(rows: dict[str, list[Any]], rebuilt: dict[str, list[Any]]) -> None:
    """Compare what was derived in steps with what was derived at once; of tails, what is there either way."""
    tails = [made.pop("rollup_tails") for made in (rows, rebuilt)]
    cuts: dict[Any, int] = {}
    for row in (row for made in tails for row in made if row["complete_from"] is not None):
        cuts[_tail(row)] = max(row["complete_from"], cuts.get(_tail(row), row["complete_from"]))
    kept = [
        [
            {name: value for name, value in row.items() if name != "complete_from"}
            for row in made
            if row["bucket"] is not None and row["bucket"] >= cuts.get(_tail(row), row["bucket"])
        ]
        for made in tails
    ]
    assert kept[0] == kept[1]
    # Of examples a part keeps the worst; one that it left out does not come back when a worse one changes.
    facts = {row["trace_id"]: row for row in rows["facts"]}
    for row in rows.pop("rollup_examples"):
        assert (row["rollup_key"], row["duration_ns"]) == tuple(
            facts[row["trace_id"]][name] for name in ("rollup_key", "duration_ns")
        )
    del rebuilt["rollup_examples"]
    assert rows == rebuilt


def _tail(row: Row) -> tuple[Any, ...]:
    return row["day_unix_ns"], row["rollup_key"], row["metric"]


def check_against_reference(lake: GrowingLake, spans: Sequence[Record], evaluations: Sequence[Record]) -> None:
    expected = facts_of(spans, evaluations)
    rows = lake.rows()
    waiting = [one for one in newest_judgements(spans, evaluations) if one["trace_id"] is None]
    assert len([one for one in rows["judgements"] if one["trace_id"].startswith("response ")]) == len(waiting)
    found = {row["trace_id"]: row for row in rows["facts"] if row["rollup_key"] is not None}
    assert {trace_id: {name: row[name] for name in expected[trace_id]} for trace_id, row in found.items()} == expected
    cohorts = {row["rollup_key"]: (row["cohort"], (row["dimensions"] or {}).get("plan")) for row in rows["rollup_keys"]}

    def sums(table: str, keys: Sequence[str], names: Sequence[str]) -> Sums:
        added: dict[Any, Counter[str]] = defaultdict(Counter)
        for row in rows[table]:
            place = (row[keys[0]], *cohorts[row["rollup_key"]], *(row[key] for key in keys[1:]))
            added[place].update({name: int(row[name]) for name in names})
        return {place: dict(total) for place, total in added.items()}

    assert sums("rollup_groups", ["day_unix_ns", "g"], GROUP_SUMS) == group_sums(expected)
    assert sums("rollup_hours", ["hour_unix_ns"], HOUR_SUMS) == hour_sums(expected)
    names = ["stated", "known", "value_total", "value_sq", "value_cube"]
    assert sums("rollup_measures", ["day_unix_ns", "metric"], names) == measure_sums(expected)
    counted = sums("rollup_histograms", ["day_unix_ns", "metric", "bucket"], ["n"])
    assert {place: total["n"] for place, total in counted.items()} == histograms(expected)


@pytest.mark.parametrize("may_compact", [False, True], ids=["landing", "compaction"])
def test_many_traces_in_steps_equal_a_rebuild_and_plain_python(tmp_path: Path, *, may_compact: bool) -> None:
    lake = GrowingLake(tmp_path, batch_spans=1 + TRACES * 3 // 2)

    spans, evaluations = deliver(seeded(5 + may_compact), lake, TRACES, 6, may_compact=may_compact)

    check_equal(lake.rows(), lake.rebuilt())
    check_against_reference(lake, spans, evaluations)
    facts = facts_of(spans, evaluations).values()
    assert {one["retry_source"] for one in facts} == {"none", "attribute", "siblings"}
    assert any(one["is_fallback"] and one["llm_errors"] > 1 and not one["is_error"] for one in facts)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 4))
def test_any_order_of_arrival_gives_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int) -> None:
    lake = GrowingLake(tmp_path_factory.mktemp("lake"), batch_spans=20)

    spans, evaluations = deliver(seeded(seed), lake, 12, steps, may_compact=True)

    check_equal(lake.rows(), lake.rebuilt())
    check_against_reference(lake, spans, evaluations)


def test_parts_merged_while_more_is_derived_give_the_same(tmp_path: Path) -> None:
    lake = GrowingLake(tmp_path)
    lake.builder = Builder(lake.derived, lake.fetch, settings=lake.settings, is_merging=False)
    deliver(seeded(1), lake, 12, 8, may_compact=True)
    seen_before = lake.state
    assert len(seen_before.parts) > 3

    merged = lake.builder.merged(seen_before)
    deliver(seeded(2), lake, 12, 2, may_compact=True)  # late spans of the same traces, among others
    assert merged is not None
    is_published = lake.builder.publish_merged(merged)

    lake.state = lake.derived.newest()
    assert is_published
    assert merged.part in lake.state.parts[:-1]
    assert len(lake.state.parts) < len(seen_before.parts)
    check_equal(lake.rows(), lake.rebuilt())


def test_what_was_merged_of_parts_that_are_gone_is_thrown_away(tmp_path: Path) -> None:
    lake = GrowingLake(tmp_path)
    lake.builder = Builder(lake.derived, lake.fetch, settings=lake.settings, is_merging=False)
    deliver(seeded(1), lake, 12, 8, may_compact=False)
    first, second = lake.builder.merged(lake.state), lake.builder.merged(lake.state)
    assert first is not None
    assert second is not None

    assert [lake.builder.publish_merged(first), lake.builder.publish_merged(second)] == [True, False]

    assert not any((lake.derived.path / name).exists() for name in second.part.files.values())
    assert lake.derived.newest().parts[-1] == first.part
