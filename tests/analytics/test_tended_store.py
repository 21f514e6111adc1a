"""A store that somebody tends: what readers need is derived beside them."""

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from tests.analytics.lake import write_spans

from tracecanary.analytics.derived_files import SWEEP_AFTER_S, derived_root, known_states
from tracecanary.analytics.derived_state import DerivedState
from tracecanary.analytics.store import Store
from tracecanary.schema import StoreError

PARTS = 4


def write_trace(lake: Path, number: int) -> None:
    write_spans(lake, [{"trace_id": f"t{number}", "span_id": "a", "kind": "llm", "model": "base"}])


def derived(lake: Path) -> DerivedState:
    ((_, state),) = known_states(derived_root(lake))
    return state


def traces(store: Store) -> int:
    with store.session() as session:
        return len(session.rows("model_traces_v1"))


def test_new_rows_are_derived_before_anybody_asks(tmp_path: Path) -> None:
    write_trace(tmp_path, 1)
    store = Store(tmp_path)

    with store.tended():
        store.tend()

    assert [part.traces for part in derived(tmp_path).parts] == [1]


def test_parts_are_merged_by_who_tends_and_not_by_readers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.tended():
        for number in range(PARTS):
            write_trace(tmp_path, number)
            store.refresh()
        left_by_readers = [part.traces for part in derived(tmp_path).parts]

        store.tend()

        assert (left_by_readers, [part.traces for part in derived(tmp_path).parts]) == ([1] * PARTS, [PARTS])
        assert traces(store) == PARTS


def test_readers_of_an_idle_lake_read_the_merged_parts_so_that_the_others_may_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.tended():
        for number in range(PARTS):
            write_trace(tmp_path, number)
            store.refresh()
        store.tend()
        long_ago = time.time() - 2 * SWEEP_AFTER_S
        for path in derived_root(tmp_path).glob("*/*.*"):
            os.utime(path, (long_ago, long_ago))
        store.refresh()  # finds nothing new

        with store.session() as session:
            write_trace(tmp_path, PARTS)
            store.refresh()  # deletes what no state needs any more

            assert len(session.rows("model_traces_v1")) == PARTS


def test_who_asks_after_a_reader_failed_gets_what_is_derived_again(tmp_path: Path) -> None:
    write_trace(tmp_path, 1)
    store = Store(tmp_path)
    with store.tended():
        assert traces(store) == 1
        shutil.rmtree(derived_root(tmp_path))

        with pytest.raises(StoreError):
            traces(store)

        assert traces(store) == 1


def test_rows_of_before_a_refresh_are_in_the_next_session(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seen: list[int] = []

    def write_and_read(number: int) -> None:
        write_trace(tmp_path, number)
        store.refresh()
        with store.session() as session:
            seen.append(len(session.rows("traces_of_v1", {"trace_ids": [f"t{number}"]})))

    with store.tended():
        threads = [threading.Thread(target=write_and_read, args=(number,)) for number in range(PARTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert seen == [1] * PARTS
