"""The demo, run as a person runs it: its numbers, its second run, and what a kill leaves behind."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.system.conftest import TRACECANARY, DemoService

BASE = "gpt-4.1"
CANDIDATE = "ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm"
QUESTION = {"base": BASE, "candidate": CANDIDATE}

# Computed from the records with pandas and numpy (percentiles: linear), apart from this project:
# arm -> cohort -> runs, failed runs, p50 and p99 of the duration in s, input and output tokens.
TRUTH: dict[str, dict[str | None, tuple[int, int, float, float, int, int]]] = {
    "base": {
        None: (140, 58, 40.2355, 109.24973, 13358989, 103876),
        "airline": (20, 10, 21.5875, 34.23084, 994898, 16536),
        "retail": (40, 6, 24.7805, 42.43236, 2425565, 30486),
        "telecom": (40, 22, 52.963, 80.33169, 4701015, 45153),
        "telecom-solo": (40, 20, 77.4665, 127.45109, 5237511, 11701),
    },
    "candidate": {
        None: (140, 29, 34.8145, 177.97494, 19185680, 97793),
        "airline": (20, 7, 27.6885, 90.10234, 1277560, 16829),
        "retail": (40, 6, 35.128, 96.34625, 2731756, 33435),
        "telecom": (40, 10, 56.4305, 180.14506, 9749306, 37043),
        "telecom-solo": (40, 6, 24.2735, 52.82683, 5427058, 10486),
    },
}
BASE_MEAN_COST_USD = {
    None: 0.062968,
    "airline": 0.039163,
    "retail": 0.047215,
    "telecom": 0.077776,
    "telecom-solo": 0.075816,
}


@pytest.fixture(scope="module")
def cells(demo_service: DemoService) -> dict[tuple[str | None, str], dict[str, Any]]:
    rows = httpx.get(f"{demo_service.url}/compare/rows", params=QUESTION).raise_for_status().json()
    return {(row["cohort"], row["metric"]): row for row in rows}


@pytest.mark.parametrize("arm", TRUTH)
@pytest.mark.parametrize("cohort", TRUTH["base"])
def test_numbers_equal_those_computed_apart(
    cells: dict[tuple[str | None, str], dict[str, Any]], arm: str, cohort: str | None
) -> None:
    runs, failed, p50_s, p99_s, input_tokens, output_tokens = TRUTH[arm][cohort]

    def value(metric: str) -> float:
        return float(cells[cohort, metric][f"{arm}_value"])

    assert cells[cohort, "eval_fail_rate"][f"{arm}_n"] == runs
    assert value("eval_fail_rate") == failed / runs
    assert value("latency_p50") == pytest.approx(p50_s, rel=1e-12)
    assert value("latency_p99") == pytest.approx(p99_s, rel=1e-12)
    assert round(value("input_tokens") * runs) == input_tokens
    assert round(value("output_tokens") * runs) == output_tokens


@pytest.mark.parametrize("cohort", BASE_MEAN_COST_USD)
def test_the_base_has_its_reported_cost_and_the_unpriced_candidate_has_none(
    cells: dict[tuple[str | None, str], dict[str, Any]], cohort: str | None
) -> None:
    row = cells[cohort, "cost_per_trace"]

    assert row["base_value"] == pytest.approx(BASE_MEAN_COST_USD[cohort], abs=1e-6)
    assert (row["candidate_value"], row["candidate_n"]) == (None, 0)
    assert (row["effect"], row["ci_low"], row["ci_high"], row["state"]) == (None, None, None, "no_data")
    assert "no price" in row["reason"]


def test_a_p99_of_140_runs_is_unbounded_and_says_how_many_it_takes(
    cells: dict[tuple[str | None, str], dict[str, Any]],
) -> None:
    row = cells[None, "latency_p99"]

    assert row["effect"] == pytest.approx(1.629065, abs=1e-6)
    assert row["ci_high"] is None
    assert row["state"] == "no_data"
    # 381 would do for one look; at any time, with the default plan, it takes more.
    assert "needs 600 traces" in row["reason"]


@pytest.mark.parametrize("metric", ["retry_rate", "fallback_rate"])
def test_what_the_recorded_spans_would_not_show_has_no_value(
    cells: dict[tuple[str | None, str], dict[str, Any]], metric: str
) -> None:
    row = cells[None, metric]

    assert (row["base_n"], row["base_value"], row["candidate_n"], row["candidate_value"]) == (0, None, 0, None)


def test_the_verdict_holds_and_verifies_no_cohort_on_20_to_40_runs(demo_service: DemoService) -> None:
    answer = httpx.get(f"{demo_service.url}/compare", params=QUESTION).raise_for_status().json()

    assert answer["overall"]["verdict"] == "hold"
    assert answer["routing"] == {
        "candidate": [],
        "base": [],
        "unverified": ["airline", "retail", "telecom", "telecom-solo"],
        "not_listed": 0,
    }


def test_the_simulated_user_enters_neither_model_calls_nor_tokens(demo_service: DemoService) -> None:
    models = httpx.get(f"{demo_service.url}/models").raise_for_status().json()

    counted = {row["model"]: (row["traces"], row["llm_calls"], row["input_tokens"]) for row in models}
    assert counted == {BASE: (140, 1908, 13358989), CANDIDATE: (140, 2421, 19185680)}


def test_the_demo_ends_with_a_table_two_sentences_and_where_to_look(tmp_path: Path) -> None:
    done = subprocess.run(
        [TRACECANARY, "demo"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={"COLUMNS": "140", "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )

    assert f"Hold {CANDIDATE} and keep {BASE} for now" in " ".join(done.stdout.split())
    assert "telecom-solo" in done.stdout
    for path in ("/compare?", "/report?", "/docs"):
        assert path in done.stdout
    assert list(tmp_path.iterdir()) == [], "the temporary lake is gone"


def test_a_second_demo_into_the_same_lake_changes_no_number(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    first = _answer_after_demo(lake)

    second = _answer_after_demo(lake)

    assert second == first


def test_a_killed_demo_leaves_a_lake_that_reads_and_that_the_next_demo_completes(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    process = subprocess.Popen([TRACECANARY, "demo", "--lake", lake], stdout=subprocess.DEVNULL)
    segments = lake / "landing" / "spans"
    deadline = time.monotonic() + 60
    while not list(segments.glob("*.parquet")):
        assert process.poll() is None, "the demo ended first"
        assert time.monotonic() < deadline, "the demo never wrote a segment"
        time.sleep(0.002)

    process.kill()
    process.wait()

    models = subprocess.run(
        [TRACECANARY, "compare", "--base", BASE, "--candidate", "none", "--lake", lake],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No stored trace has this model (seen: " in models.stderr, "the half-filled lake was read"
    assert _answer_after_demo(lake) == _answer_after_demo(tmp_path / "another")


def test_a_demo_that_is_told_to_end_removes_its_temporary_lake(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [TRACECANARY, "demo", "--keep"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    with demo:
        assert demo.stdout is not None
        assert any("/docs" in line for line in demo.stdout), "the demo ended before it served"
        kept = list(tmp_path.iterdir())

        demo.terminate()

        demo.communicate(timeout=60)
    assert len(kept) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_readme_shows_what_the_demo_prints(demo_lake: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = [line for line in readme.splitlines() if line.startswith(("| **", "|  |"))]

    printed = _compared(demo_lake, "markdown").splitlines()

    assert len(shown) == 7
    assert [line for line in shown if line not in printed] == []


def _answer_after_demo(lake: Path) -> str:
    subprocess.run([TRACECANARY, "demo", "--lake", lake], check=True, capture_output=True, timeout=120)
    return _compared(lake, "json")


def _compared(lake: Path, output: str) -> str:
    arms = ["--base", BASE, "--candidate", CANDIDATE]
    done = subprocess.run(
        [TRACECANARY, "compare", *arms, "--lake", str(lake), "--format", output],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout
