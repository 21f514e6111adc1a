"""What is derived from a lake follows it through real compactions, however much of them it missed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.compaction import compact
from tracecanary.analytics.config import CompactionSettings, DerivationSettings
from tracecanary.analytics.derived_build import Builder
from tracecanary.analytics.derived_definition import definition
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_state import DerivedState, listing_of
from tracecanary.analytics.listings import list_models
from tracecanary.analytics.store import Store
from tracecanary.schema import list_lake_files

HOUR_NS = 3_600 * 10**9
HOUR_MS = 3_600_000
# Segments into files of their hour, and those into one; with no grace period, what was replaced is deleted at once, and
# forgotten by the next manifest.
COMPACTIONS = {
    "adopt": CompactionSettings(settle_s=10**9),
    "adopt and delete": CompactionSettings(settle_s=10**9, grace_s=0),
    "merge": CompactionSettings(settle_s=0),
    "merge and delete": CompactionSettings(settle_s=0, grace_s=0),
}
STEPS = st.lists(st.sampled_from(["spans", "spans", "evaluations", "look", *COMPACTIONS]), min_size=4, max_size=14)
_folders = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("derived")


def answers(lake: Path) -> tuple[Any, ...]:
    store = Store(lake)
    with store.session() as session:
        arms = session.rows("arms_v1", {"arm_by": "model"})
        outcomes = session.rows("judged_outcomes_v1")
        unmatched = session.rows("unmatched_evaluations_v1")
    return list_models(store), arms, sorted(outcomes, key=str), unmatched


def some_spans(numbers: Any) -> list[dict[str, Any]]:
    return [
        {
            "trace_id": f"{numbers.randrange(6):032x}",
            "span_id": f"{numbers.randrange(4):016x}",
            "kind": "llm",
            "model": numbers.choice(["base", "candidate"]),
            "response_id": numbers.choice([None, "r1", "r2", "r3", "r4"]),
            "input_tokens": numbers.randrange(100),
            "start_unix_ns": numbers.randrange(3) * HOUR_NS,
        }
        for _ in range(3)
    ]


def some_evaluations(numbers: Any, moment: int) -> list[dict[str, Any]]:
    places: list[dict[str, Any]] = [
        {"trace_id": f"{numbers.randrange(6):032x}"},
        {"trace_id": f"{numbers.randrange(6):032x}", "span_id": f"{numbers.randrange(4):016x}"},
        {"trace_id": None, "response_id": numbers.choice(["r1", "r2", "r3", "r4", "r5"])},
    ]
    given = {"name": "reward", "received_unix_ns": moment * 1000}
    return [{**place, **given, "passed": bool(numbers.randrange(2))} for place in places]


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, numbers=st.randoms(use_true_random=False))
def test_derived_equals_derived_anew(folder: Path, steps: list[str], numbers: Any) -> None:
    lake = folder / str(next(_folders))
    lake.mkdir()
    for moment, step in enumerate(steps):
        if step == "spans":
            write_spans(lake, some_spans(numbers))
        elif step == "evaluations":
            write_evaluations(lake, some_evaluations(numbers, moment))
        elif step == "look":
            answers(lake)
        else:
            compact(lake, COMPACTIONS[step], clock_ms=lambda hour=moment: (1_000 + hour) * HOUR_MS)  # type: ignore[misc]

    followed = answers(lake)
    shutil.rmtree(lake / "derived")

    assert followed == answers(lake)


def test_segments_that_came_and_were_forgotten_unseen_are_not_missed(folder: Path) -> None:
    lake = folder / str(next(_folders))
    call = {"span_id": "a" * 16, "kind": "llm", "model": "base", "start_unix_ns": 1}
    write_spans(lake, [{"trace_id": "1" * 32, **call}])
    answers(lake)
    write_spans(lake, [{"trace_id": "2" * 32, **call}])
    compact(lake, COMPACTIONS["adopt and delete"], clock_ms=lambda: 1_000 * HOUR_MS)
    write_spans(lake, [{"trace_id": "3" * 32, **call}])
    compact(lake, COMPACTIONS["adopt and delete"], clock_ms=lambda: 1_001 * HOUR_MS)

    compact(lake, COMPACTIONS["merge and delete"], clock_ms=lambda: 1_002 * HOUR_MS)

    ((model,), *_) = answers(lake)
    assert model.llm_calls == 3


def test_files_that_a_killed_process_left_unread_are_not_taken_for_known_once_merged(folder: Path) -> None:
    lake = folder / str(next(_folders))
    call = {"span_id": "a" * 16, "kind": "llm", "model": "base"}
    for number in range(3):
        write_spans(lake, [{"trace_id": str(number) * 32, **call, "start_unix_ns": number}])
        compact(lake, COMPACTIONS["adopt"], clock_ms=lambda: 1_000 * HOUR_MS)

    def fetch(names: Sequence[str]) -> list[Path]:
        if len(names) == 2:  # the second of three batches looks for what the first left
            raise OSError("killed")
        return [lake / name for name in names]

    builder = Builder(DerivedFolder(lake / "derived", definition(DerivationSettings())), fetch, batch_spans=1)
    with pytest.raises(OSError, match="killed"):
        builder.advance(DerivedState(), listing_of(list_lake_files(lake)))
    compact(lake, COMPACTIONS["merge"], clock_ms=lambda: 1_002 * HOUR_MS)

    ((model,), *_) = answers(lake)
    assert model.llm_calls == 3
