"""The example in docs/statistics.md, and its table of functions."""

import doctest
import re
from pathlib import Path

from tracecanary.analytics import statistics

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"


def test_the_documented_example_runs() -> None:
    tried = doctest.testfile(str(PAGE), module_relative=False)

    assert tried.attempted > 10
    assert tried.failed == 0


def test_documented_functions_are_public() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## The functions")[1].split("```")[0]

    named = set(re.findall(r"`([A-Za-z_]+)[(.]", table)) - {"tracecanary"}

    assert named <= set(statistics.__all__)
    assert len(named) > 20
