"""A real provider with our processor, and reading back what it stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from tracecanary.collector import CanarySpanProcessor
from tracecanary.schema import LakeTable, landing_segments

Row = dict[str, Any]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def stored(lake: Path) -> Callable[[], list[Row]]:
    """Read the rows of every segment, oldest first, with the remaining attributes as a dict."""

    def read() -> list[Row]:
        rows = [row for path in landing_segments(lake, LakeTable.SPANS) for row in pq.read_table(path).to_pylist()]
        return [{**row, "attributes": dict(row["attributes"])} for row in rows]

    return read


@pytest.fixture(params=["compiled", "python"])
def capture(
    lake: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[CanarySpanProcessor, Tracer]]:
    """Return a processor that writes only when told, and a tracer that feeds it: with compiled code, and without."""
    monkeypatch.setenv("TRACECANARY_ACCELERATED", str(request.param == "compiled"))
    processor = CanarySpanProcessor(lake, flush_interval_s=3600)
    provider = TracerProvider(resource=Resource({"service.name": "shop", "service.version": "1.4.2"}))
    provider.add_span_processor(processor)
    yield processor, provider.get_tracer("tests", "0.1")
    provider.shutdown()
