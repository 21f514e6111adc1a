"""A service over a small lake whose every number can be counted by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

from tracecanary.api.service import running_service
from tracecanary.collector import CanarySpanProcessor, canary_context

START_NS = 1_760_000_000 * 10**9  # 2025-10-09T08:53:20Z
HOUR_NS = 3_600 * 10**9


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four traces an arm: two cohorts, an hour apart; trace i of an arm lasts i seconds."""
    lake = tmp_path_factory.mktemp("small")
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(lake))
    tracer = provider.get_tracer("tests")
    for model in ("base/model", "candidate:model"):
        for number, cohort in enumerate(("eu", "eu", "us", "us"), start=1):
            start = START_NS + (number - 1) * HOUR_NS
            with canary_context(cohort=cohort):
                span = tracer.start_span(
                    f"chat {model}",
                    start_time=start,
                    attributes={
                        "gen_ai.operation.name": "chat",
                        "gen_ai.provider.name": "openai",
                        "gen_ai.request.model": model,
                        "gen_ai.usage.input_tokens": 100 * number,
                    },
                )
                if model.startswith("candidate") and number == 4:
                    span.set_status(StatusCode.ERROR)
                span.end(start + number * 10**9)
    provider.shutdown()
    return lake


@pytest.fixture(scope="session")
def service(small_lake: Path) -> Iterator[httpx.Client]:
    with running_service(small_lake) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def empty_service(tmp_path: Path) -> Iterator[httpx.Client]:
    with running_service(tmp_path / "lake") as url, httpx.Client(base_url=url) as client:
        yield client
