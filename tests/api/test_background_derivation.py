from __future__ import annotations

from pathlib import Path

import pytest
from tests.analytics.lake import write_spans
from tests.api.test_background_compaction import wait_until

from tracecanary.analytics.derived_files import derived_root, known_states
from tracecanary.analytics.store import Store
from tracecanary.api import background_derivation
from tracecanary.api.background_derivation import deriving

SPAN = {"span_id": "a", "kind": "llm", "model": "base"}


def derived_traces(lake: Path) -> int:
    return sum(part.traces for _, state in known_states(derived_root(lake)) for part in state.parts)


def test_what_is_wrong_is_logged_once_and_deriving_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_derivation, "_EVERY_FAILED_S", 0.01)
    damaged = write_spans(tmp_path, [{"trace_id": "t1", **SPAN}])
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    caplog.set_level("INFO", "tracecanary.api.background_derivation")

    with deriving(Store(tmp_path)):
        wait_until(lambda: "is damaged" in caplog.text)
        damaged.unlink()
        write_spans(tmp_path, [{"trace_id": "t2", **SPAN}])
        wait_until(lambda: "can be derived again" in caplog.text)

    assert derived_traces(tmp_path) == 1
    assert len([message for message in caplog.messages if "is damaged" in message]) == 1
    assert str(damaged) in caplog.text
