"""Reads of a lake that is rewritten without pause: `make compaction-stress` does 10,000."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tests.analytics.lake import write_spans

from tracecanary.analytics.compaction import compact
from tracecanary.analytics.config import CompactionSettings
from tracecanary.schema import LakeTable, list_lake_files

READS = int(os.environ.get("TRACECANARY_TEST_READS", "300"))
SPANS = 200
# Rewrites an hour as soon as it has two files. The grace period is much longer than a read, and much shorter than the
# whole, so that files are deleted, too.
SETTINGS = CompactionSettings(max_files_per_hour=1, grace_s=5)


def test_every_read_counts_every_span_once_while_compaction_rewrites(tmp_path: Path) -> None:
    spans = [_span(number) for number in range(SPANS)]
    write_spans(tmp_path, spans)
    has_ended = threading.Event()
    failures: list[BaseException] = []
    compactions = [0]

    def rewrite() -> None:
        try:
            while not has_ended.is_set():
                first = compactions[0] * 10 % SPANS
                write_spans(tmp_path, spans[first : first + 10])  # delivered once more
                compact(tmp_path, SETTINGS)
                compactions[0] += 1
        except BaseException as error:  # noqa: BLE001  shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=rewrite) for _ in range(2)]
    for thread in threads:
        thread.start()
    counts: dict[int, int] = {}
    manifests = set()
    for _ in range(READS):
        files = list_lake_files(tmp_path)
        keys: set[str | None] = set()
        for name in files.names(LakeTable.SPANS):
            keys.update(pq.ParquetFile(tmp_path / name).read(columns=["trace_id"])["trace_id"].to_pylist())
        counts[len(keys)] = counts.get(len(keys), 0) + 1
        manifests.add(files.manifest.number)
    has_ended.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert counts == {SPANS: READS}
    assert len(manifests) > 10, "the lake was rewritten meanwhile"


def _span(number: int) -> dict[str, Any]:
    return {"trace_id": f"t{number:03d}", "span_id": "a", "start_unix_ns": number % 3 * 3_600 * 10**9}
