"""A damaged derived file is named, and derived again where the lake still has what it was made of."""

import resource
from dataclasses import replace
from pathlib import Path

import pytest
from tests.analytics.lake import write_spans

from tracecanary.analytics.derived_damage import refuse_damaged_derived
from tracecanary.analytics.derived_files import derived_root, known_states
from tracecanary.analytics.store import Store
from tracecanary.schema import StoreError

CALL = {"span_id": "a", "kind": "llm", "model": "base"}


def damage(lake: Path, table: str) -> Path:
    (path,) = derived_root(lake).glob(f"*/{table}-*")
    path.write_bytes(path.read_bytes()[:100])
    return path


def traces(store: Store) -> int:
    with store.session() as session:
        return len(session.rows("model_traces_v1"))


@pytest.mark.parametrize("table", ["facts", "rollup_groups", "trace_keys"])
def test_a_damaged_file_is_named_once_and_derived_again(tmp_path: Path, table: str) -> None:
    write_spans(tmp_path, [{"trace_id": f"t{number}", **CALL} for number in range(40)])
    Store(tmp_path).refresh()
    path = damage(tmp_path, table)
    write_spans(tmp_path, [{"trace_id": "t40", **CALL}])

    with pytest.raises(StoreError, match=r"was damaged: .* derived again: ask again") as caught:
        Store(tmp_path).refresh()

    assert str(path) in str(caught.value)
    assert traces(Store(tmp_path)) == 41


def test_a_damaged_file_that_may_know_what_nothing_else_does_stays(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    Store(tmp_path).refresh()
    path = damage(tmp_path, "facts")
    ((folder, state),) = known_states(derived_root(tmp_path))

    with pytest.raises(StoreError, match=r"is damaged.* --drop-expired"):
        refuse_damaged_derived(folder, replace(state, kept_from_hour={"spans": 1}))

    assert path.exists()


def test_a_file_that_could_not_be_opened_is_not_taken_for_damaged(tmp_path: Path) -> None:
    write_spans(tmp_path, [{"trace_id": "t1", **CALL}])
    Store(tmp_path).refresh()
    ((folder, state),) = known_states(derived_root(tmp_path))
    files = sorted(folder.path.iterdir())
    most, hardest = resource.getrlimit(resource.RLIMIT_NOFILE)

    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hardest))
    try:
        refuse_damaged_derived(folder, state)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hardest))

    assert sorted(folder.path.iterdir()) == files
