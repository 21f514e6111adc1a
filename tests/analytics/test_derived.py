"""What is derived step by step equals what is derived at once, and what plain Python derives."""

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
from tests.analytics.fact_reference import DAY_NS, Record, facts_of, group_sums, newest_judgements
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.derived_build import Builder
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_state import DerivedState, Listing
from tracecanary.analytics.derived_steps import SUM_TABLES, open_derived
from tracecanary.analytics.engine import Engine, Row
from tracecanary.schema import LakeTable, landing_segments

HOUR_NS = 3_600_000_000_000
FIRST_NS = 1_780_272_000_000_000_000


class GrowingLake:
    """A lake that gets segments, and what is derived from it; compaction makes one file of the segments there are."""

    def __init__(self, folder: Path, *, batch_spans: int = 10_000) -> None:
        self.lake = folder
        self.compacted: dict[LakeTable, list[str]] = {table: [] for table in LakeTable}
        self.adopted: set[str] = set()
        self.derived = DerivedFolder(folder / "derived", "one")
        self.builder = Builder(self.derived, self.fetch, batch_spans=batch_spans)
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
        state = Builder(folder, self.fetch).advance(DerivedState(), self.listing())
        return derived_rows(folder, state)

    def rows(self) -> dict[str, list[Any]]:
        return derived_rows(self.derived, self.state)


def derived_rows(folder: DerivedFolder, state: DerivedState) -> dict[str, list[Any]]:
    """Everything derived, in a form that does not depend on the steps that led there."""
    with Engine() as engine:
        open_derived(engine, folder, state)
        rows = {table: engine.rows(f"{table}_sum_v1") for table in SUM_TABLES}
        rows |= {table: engine.rows(f"live_{table}_v1") for table in ("facts", "judgements", "trace_models")}
    rows["rollup_keys"] = [row for row in rows["rollup_keys"] if row["rollup_key"] in _used_keys(rows)]
    return {table: sorted(map(_settled, kept), key=str) for table, kept in rows.items() for kept in [_counted(kept)]}


def _used_keys(rows: Mapping[str, list[Row]]) -> set[int]:
    return {row["rollup_key"] for row in rows["facts"]}


def _counted(rows: list[Row]) -> list[Row]:
    """Leave out sums that have come to nothing."""
    if not rows or "trace_id" in rows[0]:
        return rows
    name = next((name for name in ("traces", "all_traces", "judged") if name in rows[0]), None)
    return [row for row in rows if name is None or row[name] != 0]


def _settled(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "revision"}


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # a test, no secret


def make_trace(rng: random.Random, number: int) -> tuple[list[Record], list[Record]]:
    """Return spans and evaluations of one trace: with or without a root, of one or two models, some spans days late."""
    trace_id = f"{rng.getrandbits(128):032x}"
    start = FIRST_NS + rng.randrange(4 * 24) * HOUR_NS + rng.randrange(HOUR_NS)
    has_root = rng.random() < 0.8
    cohort = rng.choice(["shop", "telecom", None])
    spans: list[Record] = []
    for place in range(rng.randint(1, 6)):
        is_root = place == 0 and has_root
        kind = "agent" if is_root else rng.choice(["llm", "llm", "tool"])
        late = rng.choice([0, 0, 0, 0, HOUR_NS, 3 * 24 * HOUR_NS])
        spans.append(
            {
                "trace_id": trace_id,
                "span_id": f"{number:08x}{place:08x}",
                "parent_span_id": None if is_root else f"{number:08x}{0:08x}" if has_root else "f" * 16,
                "kind": kind,
                "start_unix_ns": start + place * 1000 + late + rng.choice([0, 0, -5_000]),
                "duration_ns": rng.choice([0, 1, 10**6, 3 * 10**9]) + rng.randrange(1000),
                "status": "error" if kind == "tool" and rng.random() < 0.2 else "unset",
                "convention": "otel_genai",
                "cohort": cohort if rng.random() < 0.7 else None,
                "user_id": f"user-{number % 17}" if number % 3 else None,
                "model": rng.choice(["base", "candidate", "base", "base"]) if kind == "llm" else None,
                # A few traces share the answer to one request.
                "response_id": rng.choice([f"r{number}-{place}", f"shared-{number // 3}"]) if kind == "llm" else None,
                # The agent repeats what its calls used.
                "input_tokens": rng.randrange(5000) if kind != "tool" and rng.random() < 0.9 else None,
                "reported_cost_nano_usd": rng.randrange(10**7) if kind == "llm" and rng.random() < 0.9 else None,
                "tool_name": "search" if kind == "tool" else None,
                "tool_arguments_hash": rng.choice(["a", "b"]) if kind == "tool" else None,
            }
        )
    evaluations = [make_evaluation(rng, spans, start, again) for again in range(rng.randint(0, 3))]
    return spans, evaluations


def make_evaluation(rng: random.Random, spans: Sequence[Record], start: int, again: int) -> Record:
    """Judge a trace, one of its spans, or the answer of one, which the span alone tells to be of the trace."""
    span = rng.choice(spans)
    way = rng.choice(["trace", "span", "answer", "answer"])
    return {
        "trace_id": None if way == "answer" else span["trace_id"],
        "span_id": span["span_id"] if way == "span" else None,
        "response_id": (span["response_id"] or "unknown") if way == "answer" else None,
        "name": rng.choice(["reward", "tone"]),
        "version": rng.choice(["1", "2"]),
        "passed": rng.choice([True, False, None]),
        "label": f"newest of {again}",
        "source": "code",
        "time_unix_ns": start + again,
        "received_unix_ns": start + again * 1000,
    }


def deliver(
    rng: random.Random, lake: GrowingLake, traces: int, steps: int, *, may_compact: bool
) -> tuple[list[Record], list[Record]]:
    """Write the rows of `traces` in `steps`, in any order and some twice; derive in between."""
    made = [make_trace(rng, number) for number in range(traces)]
    spans = [span for members, _ in made for span in members]
    evaluations = [one for _, members in made for one in members]
    parcels: dict[int, tuple[list[Record], list[Record]]] = defaultdict(lambda: ([], []))
    for span in spans:
        for step in {rng.randrange(steps), *([rng.randrange(steps)] if rng.random() < 0.1 else [])}:
            parcels[step][0].append(span)
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


def check_against_reference(lake: GrowingLake, spans: Sequence[Record], evaluations: Sequence[Record]) -> None:
    expected = facts_of(spans, evaluations)
    rows = lake.rows()
    waiting = [one for one in newest_judgements(spans, evaluations) if one["trace_id"] is None]
    assert len([one for one in rows["judgements"] if one["trace_id"].startswith("response ")]) == len(waiting)
    found = {row["trace_id"]: row for row in rows["facts"] if row["rollup_key"] is not None}
    assert {trace_id: {name: row[name] for name in expected[trace_id]} for trace_id, row in found.items()} == expected
    cohorts = {row["rollup_key"]: row["cohort"] for row in rows["rollup_keys"]}
    sums: dict[Any, Counter[str]] = defaultdict(Counter)
    names = ("traces", "with_tool_errors", "input_tokens_total", "input_tokens_sq", "cost_total")
    for row in rows["rollup_groups"]:
        sums[row["day_unix_ns"], cohorts[row["rollup_key"]], row["g"]].update({name: int(row[name]) for name in names})
    assert {key: tuple(total[name] for name in names) for key, total in sums.items()} == group_sums(expected)
    assert all(row["day_unix_ns"] % DAY_NS == 0 for row in rows["rollup_groups"])


@pytest.mark.parametrize("may_compact", [False, True], ids=["landing", "compaction"])
def test_many_traces_in_steps_equal_a_rebuild_and_plain_python(tmp_path: Path, *, may_compact: bool) -> None:
    lake = GrowingLake(tmp_path, batch_spans=1500)

    spans, evaluations = deliver(seeded(5), lake, 1000, 6, may_compact=may_compact)

    assert lake.rows() == lake.rebuilt()
    check_against_reference(lake, spans, evaluations)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 4))
def test_any_order_of_arrival_gives_the_same(tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int) -> None:
    lake = GrowingLake(tmp_path_factory.mktemp("lake"), batch_spans=20)

    spans, evaluations = deliver(seeded(seed), lake, 12, steps, may_compact=True)

    assert lake.rows() == lake.rebuilt()
    check_against_reference(lake, spans, evaluations)
