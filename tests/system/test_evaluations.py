"""From an application that judges its answers to the comparison: nothing in between is made up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tracecanary.api.service import running_service

EXAMPLE = Path(__file__).parents[2] / "examples" / "evaluate_answers.py"


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[float | None, float | None, int]]:
    """Run the example and return what `/compare` says of each fail rate: base, candidate, traces."""
    told = subprocess.run(
        [sys.executable, EXAMPLE],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"TMPDIR": str(tmp_path_factory.mktemp("app"))},
    ).stdout
    lake, lost = told.removeprefix("the lake is at ").strip().split("; not judged or lost: ")
    assert lost == "nothing"
    with running_service(Path(lake)) as url:
        body = httpx.get(f"{url}/compare", params={"base": "gpt-4.1", "candidate": "ft:gpt-4.1:shop"}).json()
    return {
        row["evaluator"] or row["metric"]: (row["base"]["value"], row["candidate"]["value"], row["candidate"]["n"])
        for row in body["overall"]["metrics"]
        if row["metric"] in ("eval_fail_rate", "thumbs_down_rate")
    }


@pytest.mark.parametrize(
    ("evaluator", "rates"),
    [
        pytest.param("city_json", (0.0, 0.5, 4), id="json-schema"),
        pytest.param("refusal", (0.0, 0.25, 4), id="refusal"),
        pytest.param("names_a_city", (0.25, 0.5, 4), id="a-function"),
        pytest.param("length", (0.0, 0.25, 4), id="recorded-on-the-span"),
        pytest.param("thumbs_down_rate", (0.0, 0.5, 4), id="feedback-by-trace-id"),
    ],
)
def test_what_was_judged_in_the_application_is_compared(
    answer: dict[str, tuple[float | None, float | None, int]], evaluator: str, rates: tuple[float, float, int]
) -> None:
    assert answer[evaluator] == rates
