import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.system.service_crash import load_and_kill

from tracecanary.analytics.listings import list_models
from tracecanary.analytics.store import Store
from tracecanary.api.service import listening_socket
from tracecanary.schema import LakeTable, landing_segments

# `make crash-test` kills 200 times.
KILLS = min(int(os.environ.get("TRACECANARY_TEST_KILLS", "2")), 200)
MAX_START_S = 5.0


def _free_port() -> int:
    with listening_socket("127.0.0.1", 0) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_service_killed_under_load_has_stored_all_that_it_acknowledged(seed: int, tmp_path: Path) -> None:
    lake = tmp_path / "lake"

    load, started_s = load_and_kill(lake, (_free_port(), _free_port()), seed=seed)

    assert load.acknowledged, "the load came through"
    stored = [
        trace_id
        for path in landing_segments(lake, LakeTable.SPANS)
        for trace_id in pq.read_table(path, columns=["trace_id"])["trace_id"].to_pylist()
    ]
    assert load.acknowledged <= set(stored)
    assert set(stored) <= load.sent
    assert sum(model.llm_calls for model in list_models(Store(lake))) == len(set(stored)), "each span is one row"
    assert [path for path in lake.rglob("*") if path.suffix in {".damaged", ".arrows"}] == []
    assert started_s < MAX_START_S
