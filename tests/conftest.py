"""What every test needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.object_store import ObjectStore


def pytest_configure() -> None:
    # The services under test are on loopback, where a proxy from the environment can't reach them.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    # Any are good for the emulator. No machine's own are looked for.
    os.environ.update(AWS_ACCESS_KEY_ID="tests", AWS_SECRET_ACCESS_KEY="tests", AWS_EC2_METADATA_DISABLED="true")  # noqa: S106


@pytest.fixture(scope="session")
def emulator() -> Iterator[ObjectStore]:
    from tests.object_store import ObjectStore

    store = ObjectStore()
    yield store
    store.stop()


@pytest.fixture
def object_store(
    emulator: ObjectStore, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    """Give the emulator, with a spool and a cache of the test's own."""
    monkeypatch.setenv("TRACECANARY_SPOOL", str(tmp_path_factory.mktemp("spool")))
    monkeypatch.setenv("TRACECANARY_CACHE", str(tmp_path_factory.mktemp("cache")))
    return emulator
