"""The derived folder: several processes at once, damage, deletion, and what the lake loses."""

import itertools
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_definition import definition
from tracecanary.analytics.derived_files import FORGOTTEN_AFTER_S, SWEEP_AFTER_S, DerivedFolder, forget_derived
from tracecanary.analytics.derived_state import (
    DerivedState,
    Extent,
    Listing,
    Part,
    difference,
    first_to_merge,
    merged_ranges,
    state_from_json,
    state_to_json,
)
from tracecanary.analytics.listings import list_models
from tracecanary.analytics.store import Store
from tracecanary.schema import LakeTable

CALL = {"span_id": "a", "kind": "llm", "model": "base", "input_tokens": 5}


def traces(lake: Path) -> list[tuple[str, int, int | None]]:
    return [(row.model, row.traces, row.input_tokens) for row in list_models(Store(lake))]


def state_files(lake: Path) -> list[Path]:
    return sorted(lake.glob("derived/*/state-*.json"))


def test_another_process_goes_on_from_what_the_first_derived(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    assert traces(tmp_path) == [("base", 1, 5)]
    before = state_files(tmp_path)

    assert traces(tmp_path) == [("base", 1, 5)]

    assert state_files(tmp_path) == before


def test_stores_that_derive_at_once_count_every_trace_once(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": f"t{number}", **CALL} for number in range(20)])
    found: list[list[tuple[str, int, int | None]]] = []
    threads = [threading.Thread(target=lambda: found.append(traces(tmp_path))) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == [[("base", 20, 100)]] * 4


@pytest.mark.parametrize("damage", ["{", "", '{"revision": 1}'], ids=["torn", "empty", "incomplete"])
def test_a_damaged_state_is_derived_again(tmp_path: Path, damage: str) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    assert traces(tmp_path) == [("base", 1, 5)]
    for path in state_files(tmp_path):
        path.write_text(damage, encoding="utf-8")

    write_spans(tmp_path, [{"trace_id": "t2", **CALL}])

    assert traces(tmp_path) == [("base", 2, 10)]


def test_everything_derived_can_be_deleted(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    assert traces(tmp_path) == [("base", 1, 5)]

    forget_derived(tmp_path / "derived")
    forget_derived(tmp_path / "derived")

    assert traces(tmp_path) == [("base", 1, 5)]


def test_a_store_goes_on_when_what_it_derived_is_deleted(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    store = Store(tmp_path)
    assert [row.traces for row in list_models(store)] == [1]

    forget_derived(tmp_path / "derived")

    assert [row.traces for row in list_models(store)] == [1]


def test_a_reader_keeps_the_files_that_others_merge_meanwhile(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t0", **CALL}])
    reading = Store(tmp_path)
    with reading.session() as session:
        for path in tmp_path.glob("derived/*/*.parquet"):
            os.utime(path, (1, 1))  # derived long ago
        for number in range(1, 9):
            write_spans(tmp_path, [{"trace_id": f"t{number}", **CALL}])
            assert traces(tmp_path) == [("base", number + 1, 5 * (number + 1))]
        parts = DerivedFolder(tmp_path / "derived", definition(DerivationSettings())).newest().parts

        assert (len(parts) < 9, [row["traces"] for row in session.rows("models_v3")]) == (True, [1])


def test_rows_of_a_segment_that_was_moved_away_no_longer_count(tmp_path: Path) -> None:
    gone = write_spans(tmp_path, [{"trace_id": "t1", **CALL}, {"trace_id": "t2", **CALL}])
    write_spans(tmp_path, [{"trace_id": "t2", **CALL, "span_id": "b"}])
    judged = write_evaluations(tmp_path, [{"trace_id": "t2", "name": "reward", "passed": False}])
    store = Store(tmp_path)
    assert [(row.model, row.traces) for row in list_models(store)] == [("base", 2)]

    gone.unlink()
    judged.unlink()

    assert [(row.model, row.traces, row.input_tokens) for row in list_models(store)] == [("base", 1, 5)]
    with store.session() as session:
        assert session.rows("judged_outcomes_v1") == []


def test_sweep_deletes_what_no_reader_can_need(tmp_path: Path) -> None:
    folder = DerivedFolder(tmp_path, "one")
    kept, left = folder.new_file("facts"), folder.new_file("facts")
    kept.touch()
    left.touch()
    state = DerivedState(revision=1, parts=(Part(revision=1, traces=1, files={"facts": kept.name}),))
    folder.publish(state)
    now = left.stat().st_mtime

    folder.sweep(state, now=now + 1)
    assert left.exists()
    folder.sweep(state, now=now + SWEEP_AFTER_S + 1)

    assert (kept.exists(), left.exists(), folder.newest()) == (True, False, state)


def test_sweep_deletes_what_other_settings_derived_once_nobody_uses_it(tmp_path: Path) -> None:
    used, left = DerivedFolder(tmp_path, "one"), DerivedFolder(tmp_path, "two")
    for folder in (used, left):
        folder.new_file("facts").touch()
    begun = left.path.stat().st_mtime

    used.sweep(DerivedState(), now=begun + FORGOTTEN_AFTER_S - 1)
    assert left.path.exists()
    used.sweep(DerivedState(), now=begun + FORGOTTEN_AFTER_S + 60)

    assert (used.path.exists(), left.path.exists()) == (True, False)


def test_of_two_states_with_one_number_the_first_counts(tmp_path: Path) -> None:
    folder = DerivedFolder(tmp_path, "one")

    assert folder.publish(DerivedState(revision=1, adopted=frozenset({"first"})))
    assert not folder.publish(DerivedState(revision=1, adopted=frozenset({"second"})))

    assert folder.newest().adopted == {"first"}


def test_a_compacted_file_of_known_ones_brings_nothing_new() -> None:
    state = DerivedState(
        revision=3, is_whole=True, inputs={LakeTable.SPANS: {"a": Extent(rows=1), "b": Extent(rows=1)}}
    )
    spans = {LakeTable.SPANS: ("c", "hour")}

    known = difference(state, Listing(files=spans, compacted=frozenset({"hour"}), adopted=frozenset({"a", "b"})))
    unknown = difference(
        state, Listing(files=spans, compacted=frozenset({"hour"}), adopted=frozenset({"a", "b", "unseen"}))
    )

    assert (known.unread[LakeTable.SPANS], known.rewritten) == (("c",), frozenset({"hour"}))
    assert (unknown.unread[LakeTable.SPANS], unknown.rewritten) == (("c", "hour"), frozenset())
    assert not known.has_vanished


@given(st.lists(st.integers(0, 1000) | st.sampled_from([99_999, 100_000, 500_000]), max_size=60), st.booleans())
def test_parts_stay_few_however_they_come(sizes: list[int], are_large_left: bool) -> None:
    parts: tuple[Part, ...] = ()
    for size in sizes:
        parts = (*parts, Part(revision=1, traces=size, files={}))
        place = first_to_merge(parts, are_large_left=are_large_left)
        if place < len(parts):
            merged = Part(revision=1, traces=sum(part.traces for part in parts[place:]), files={})
            parts = (*parts[:place], merged)

        assert len(parts) <= 24

    assert sum(part.traces for part in parts) == sum(sizes)


def test_large_parts_are_merged_beside_readers_before_a_build_waits_for_it() -> None:
    large = [Part(revision=number, traces=500_000, files={}) for number in range(13)]
    small = [Part(revision=13 + number, traces=500, files={}) for number in range(4)]

    assert first_to_merge(large) == 0
    assert first_to_merge(large, are_large_left=True) == len(large)
    assert first_to_merge([*large, *small[:3]], are_large_left=True) == 16
    assert first_to_merge([*large[:4], *small], are_large_left=True) == 4
    assert first_to_merge(large + large[:3], are_large_left=True) == 0


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda pair: (min(pair), max(pair)))))
def test_merged_ranges_cover_the_same_and_lie_apart(ranges: list[tuple[int, int]]) -> None:
    merged = merged_ranges(ranges, gap_ns=3)

    assert all(any(low <= first and last <= high for low, high in merged) for first, last in ranges)
    assert all(later[0] - earlier[1] > 3 for earlier, later in itertools.pairwise(merged))


def test_a_state_survives_its_file() -> None:
    state = DerivedState(
        revision=7,
        inputs={LakeTable.SPANS: {"a": Extent(rows=2, first_ns=1, last_ns=2**62), "b": Extent(rows=0)}},
        adopted=frozenset({"x"}),
        manifest=5,
        is_whole=True,
        kept_from_hour={"spans": 9},
        parts=(Part(revision=7, traces=3, files={"facts": "f.parquet"}),),
    )

    assert state_from_json(state_to_json(state)) == state
