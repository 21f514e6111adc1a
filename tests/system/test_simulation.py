"""The simulation behind the promises of docs/statistics.md, small: that it runs, and that its targets are met."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SIMULATION = Path(__file__).parents[2] / "bench" / "simulate.py"


@pytest.mark.parametrize("scenario", ["one_look", "mixes", "clustered_looks"])
def test_targets_are_met_on_few_replicates(scenario: str) -> None:
    done = subprocess.run(
        [sys.executable, SIMULATION, "--size", "small", "--only", scenario],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "within their targets" in done.stdout
    assert "missed" not in done.stdout
