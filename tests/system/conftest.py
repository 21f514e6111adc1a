"""One recorded pair, replayed by the real demo command, and the service that answers from its lake."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tracecanary.api.service import running_service

TRACECANARY = Path(sys.executable).parent / "tracecanary"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoService:
    """A running service over the lake that the demo left."""

    url: str
    lake: Path


@pytest.fixture(scope="session")
def demo_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = tmp_path_factory.mktemp("demo") / "lake"
    subprocess.run([TRACECANARY, "demo", "--lake", lake], check=True, capture_output=True, timeout=120)
    return lake


@pytest.fixture(scope="session")
def demo_service(demo_lake: Path) -> Iterator[DemoService]:
    with running_service(demo_lake) as url:
        yield DemoService(url=url, lake=demo_lake)
