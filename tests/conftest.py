"""What every test needs."""

from __future__ import annotations

import os


def pytest_configure() -> None:
    # The services under test are on loopback, where a proxy from the environment can't reach them.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
