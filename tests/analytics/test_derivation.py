"""Retries, fallbacks and arms derived from spans: what the order and the number of their deliveries may not change."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.lake import write_spans

from tracecanary.analytics.store import Row, Store
from tracecanary.collector.ingest import ingest_files
