"""A receiving service, and reading back what it stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tracecanary.api.service import ServiceAddresses, running_receiver
from tracecanary.schema import LakeTable, landing_segments

Row = dict[str, Any]
Rows = Callable[[Path], list[Row]]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def receiver(lake: Path) -> Iterator[ServiceAddresses]:
    with running_receiver(lake) as addresses:
        yield addresses


@pytest.fixture
def rows() -> Rows:
    """Read the spans of a lake by trace and span id, once the service has stopped or answered a question."""

    def read(lake: Path) -> list[Row]:
        tables = [pq.read_table(path) for path in landing_segments(lake, LakeTable.SPANS)]
        stored = [{**row, "attributes": dict(row["attributes"])} for table in tables for row in table.to_pylist()]
        return sorted(stored, key=lambda row: (row["trace_id"], row["span_id"]))

    return read
