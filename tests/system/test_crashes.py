import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opentelemetry.sdk.trace import TracerProvider
from tests.system.crash import CALL, crash

from tracecanary.analytics.listings import list_models
from tracecanary.analytics.store import Store
from tracecanary.collector import CanarySpanProcessor
from tracecanary.collector.journal import publish_orphans
from tracecanary.collector.journal_files import JournalFile
from tracecanary.schema import SPAN_COLUMNS, LakeTable, arrow_schema, journal_folder, landing_segments

TRACECANARY = Path(sys.executable).with_name("tracecanary")
# `make crash-test` kills 200 times.
KILLS = int(os.environ.get("TRACECANARY_TEST_KILLS", "4"))


def _calls(lake: Path) -> int:
    return sum(model.llm_calls for model in list_models(Store(lake)))


def _captured_call(lake: Path) -> pa.Table:
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(lake))
    provider.get_tracer("test").start_span("chat", attributes=CALL).end()
    provider.shutdown()
    return pq.read_table(landing_segments(lake, LakeTable.SPANS)[0])


@pytest.mark.parametrize("seed", range(KILLS))
def test_an_application_killed_under_load_loses_nothing_that_was_safe(seed: int, tmp_path: Path) -> None:
    lake = tmp_path / "lake"

    crashed = crash(lake, tmp_path / "notes", seed=seed)

    publish_orphans(lake)
    assert [path for path in lake.rglob("*") if path.suffix in {".damaged", ".arrows"}] == []
    segments = landing_segments(lake, LakeTable.SPANS)
    written = [trace_id for path in segments for trace_id in pq.read_table(path)["trace_id"].to_pylist()]
    assert crashed.acknowledged <= set(written)
    assert crashed.older_than_interval <= set(written)
    calls = _calls(lake) if segments else 0  # killed before it had made the lake
    assert calls == len(set(written)), "each span is one row to readers"
    assert not publish_orphans(lake), "nothing is left to recover"


def test_the_service_adds_what_a_killed_application_left(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    left = JournalFile(journal_folder(lake, LakeTable.SPANS), arrow_schema(SPAN_COLUMNS))
    left.append(_captured_call(tmp_path / "another lake"))
    left.close()

    with subprocess.Popen(
        [TRACECANARY, "serve", "--lake", lake, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            assert "tracecanary serves" in service.stdout.readline()
            deadline = time.monotonic() + 30
            while any(journal_folder(lake, LakeTable.SPANS).glob("*")):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            service.terminate()

    assert _calls(lake) == 1
