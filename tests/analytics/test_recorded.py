"""Recordings of more libraries, against what the server that they called had counted itself.

Each was made with one provider-like server that answers, fails and counts; content was replaced by markers. What a
recording's spans lack or have wrong, so that no reader can do better, stands in its `gaps`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tracecanary.analytics.listings import ModelRow, list_models
from tracecanary.analytics.store import Store
from tracecanary.collector.ingest import decode_otlp_file, store_spans
from tracecanary.collector.normalise import span_row
from tracecanary.collector.plans import COLUMN_INDEX

RECORDED = Path(__file__).parents[1] / "collector" / "testdata" / "recorded"
MANIFEST: dict[str, dict[str, Any]] = json.loads((RECORDED / "manifest.json").read_text(encoding="utf-8"))
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_models_have_what_the_server_counted(name: str, tmp_path: Path) -> None:
    recording = MANIFEST[name]
    store_spans(tmp_path, decode_otlp_file((RECORDED / f"{name}.otlp.pb").read_bytes()))

    rows = {row.model: row for row in list_models(Store(tmp_path))}

    assert {model: _told(row) for model, row in rows.items()} == {
        model: {**counted, **recording["gaps"].get(model, {})}
        for model, counted in recording["counted"].items()
        if recording["gaps"].get(model, {}) is not None
    }
    shown = {model: (row.retries or 0, row.fallbacks_from or 0, row.fallbacks_to or 0) for model, row in rows.items()}
    assert {model: list(counts) for model, counts in shown.items() if any(counts)} == recording["shown"]


@pytest.mark.parametrize("name", sorted(MANIFEST))
def test_no_content_of_a_recording_is_kept(name: str) -> None:
    spans = decode_otlp_file((RECORDED / f"{name}.otlp.pb").read_bytes())

    assert "MARK7" in str(spans)
    assert [row for span in spans if "MARK7" in str(row := span_row(span))] == []
    assert all(_column(span_row(span), "scope_name") == span.scope_name for span in spans)


def _column(row: tuple[Any, ...], name: str) -> Any:
    return row[COLUMN_INDEX[name]]


def _told(row: ModelRow) -> dict[str, int | None]:
    return {
        "answered": row.llm_calls - row.llm_errors,
        "failed": row.llm_errors,
        **{column: getattr(row, column) or None for column in TOKENS},
    }
