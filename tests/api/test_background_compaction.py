from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.analytics.lake import stored_spans, write_spans

from tracecanary.analytics.config import CompactionSettings, Retention
from tracecanary.api.background_compaction import compacting
from tracecanary.schema import LakeTable, list_lake_files

SPAN = {"trace_id": "t1", "span_id": "a"}


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline
        pause.wait(0.01)


def segments(lake: Path) -> int:
    return len(list_lake_files(lake).landing[LakeTable.SPANS])


def test_new_segments_are_compacted_while_it_runs(tmp_path: Path) -> None:
    with compacting(tmp_path, CompactionSettings(every_s=0.01)):
        for number in range(3):
            write_spans(tmp_path, [{**SPAN, "trace_id": f"t{number}"}])
            wait_until(lambda: not segments(tmp_path))

    assert len(stored_spans(tmp_path)) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_the_rest_of_the_process_goes_first(tmp_path: Path) -> None:
    with compacting(tmp_path, CompactionSettings()):
        (thread,) = (one for one in threading.enumerate() if one.name == "tracecanary-compaction")
        wait_until(lambda: os.getpriority(os.PRIO_PROCESS, thread.native_id or 0) == 10)

    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == os.getpriority(os.PRIO_PROCESS, os.getpid())


def test_interval_of_zero_turns_it_off(tmp_path: Path) -> None:
    with compacting(tmp_path, CompactionSettings(every_s=0)):
        assert "tracecanary-compaction" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("every_s", "is_warned"), [pytest.param(0, True, id="never"), pytest.param(60, False, id="each-minute")]
)
def test_an_age_that_nothing_enforces_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, every_s: float, is_warned: bool
) -> None:
    with compacting(tmp_path, CompactionSettings(every_s=every_s, retention=Retention(spans_days=30))):
        pass

    assert ("with every_s = 0 in [compaction] nothing expires" in caplog.text) is is_warned


def test_what_is_wrong_is_logged_once_and_compaction_recovers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = write_spans(tmp_path, [SPAN])
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    caplog.set_level("INFO", "tracecanary.api.background_compaction")

    with compacting(tmp_path, CompactionSettings(every_s=0.01)):
        wait_until(lambda: "is damaged" in caplog.text)
        write_spans(tmp_path, [{**SPAN, "trace_id": "t2"}])
        wait_until(lambda: segments(tmp_path) == 1)
        damaged.unlink()
        write_spans(tmp_path, [SPAN])
        wait_until(lambda: "works again" in caplog.text)
        wait_until(lambda: segments(tmp_path) == 0)

    assert len([message for message in caplog.messages if "is damaged" in message]) == 1
    assert len(stored_spans(tmp_path)) == 2
