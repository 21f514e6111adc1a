"""`/compare` and its kin over HTTP: shapes, filters, and what a wrong parameter answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

QUESTION = {"base": "base/model", "candidate": "candidate:model"}
ROW_KEYS = {
    *("metric", "evaluator", "unit", "base", "candidate", "effect", "effect_kind", "ci_low", "ci_high", "margin"),
    *("state", "reason", "more_traces", "crude_effect", "ci_confidence", "role", "is_required", "is_critical"),
    *("detectable_effect", "latest_effect", "i_squared", "heterogeneity_p_value"),
}


def _problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert {"type", "title", "detail"} <= document.keys()
    return document


def test_an_answer_has_the_documented_shape(service: httpx.Client) -> None:
    answer = service.get("/compare", params=QUESTION).json()

    assert list(answer) == ["question", "overall", "cohorts", "routing", "checks", "paired"]
    assert set(answer["question"]) == {
        *("base", "candidate", "arm_by", "cohort_by", "from", "to", "cohort", "route", "evaluator"),
        *("mode", "at_n", "confidence", "planned_traces", "caps", "spec_hash"),
    }
    assert [cohort["cohort"] for cohort in answer["cohorts"]] == ["eu", "us"]
    assert all(set(row) == ROW_KEYS for row in answer["overall"]["metrics"])
    assert set(answer["checks"]) == {
        *("sample_ratio", "mix_shift", "simpson", "contamination", "coverage", "losses", "confounders"),
        *("sampling", "costs", "time", "clusters", "plan", "retention"),
    }


def test_values_are_those_of_the_stored_traces(service: httpx.Client) -> None:
    rows = service.get("/compare", params=QUESTION).json()["overall"]["metrics"]

    by_metric = {row["metric"]: row for row in rows}
    assert by_metric["latency_p50"]["base"] == {"value": 2.5, "n": 4}
    assert by_metric["input_tokens"]["base"] == {"value": 250.0, "n": 4}
    assert by_metric["error_rate"]["candidate"] == {"value": 0.25, "n": 4}
    assert by_metric["cost_per_trace"]["base"] == {"value": None, "n": 0}


def test_rows_are_flat_and_every_key_is_in_every_row(service: httpx.Client) -> None:
    rows = service.get("/compare/rows", params=QUESTION).json()

    assert len({tuple(row) for row in rows}) == 1
    assert not any(isinstance(value, dict | list) for row in rows for value in row.values())
    assert {row["cohort"] for row in rows} == {None, "eu", "us"}
    assert {row["time"] for row in rows} == {"2025-10-09T11:53:20Z"}


def test_metric_and_cohort_filters_select_rows(service: httpx.Client) -> None:
    rows = service.get("/compare/rows", params={**QUESTION, "metric": "error_rate", "cohort": "us"}).json()

    assert [(row["cohort"], row["candidate_value"], row["candidate_n"]) for row in rows] == [
        (None, 0.5, 2),
        ("us", 0.5, 2),
    ]


@pytest.mark.parametrize(
    ("window", "traces"),
    [
        pytest.param({"from": "2025-10-09T09:53:20Z"}, 3, id="from-is-inclusive"),
        pytest.param({"to": "2025-10-09T09:53:20Z"}, 1, id="to-is-exclusive"),
        pytest.param({"from": "1760003600000", "to": "1760010800000"}, 2, id="epoch-ms-as-grafana-sends"),
        pytest.param({"from": "2025-10-09T11:53:20+02:00"}, 3, id="offset"),
        pytest.param({"from": "2025-10-09"}, 4, id="date"),
        pytest.param({"from": "20251009"}, 4, id="basic-date"),
        pytest.param({"from": "2030-01-01T00:00:00Z"}, 0, id="nothing-there-yet"),
    ],
)
def test_a_window_selects_traces_by_their_start(service: httpx.Client, window: dict[str, str], traces: int) -> None:
    answer = service.get("/compare", params={**QUESTION, **window}).json()

    assert answer["overall"]["traces"] == {"base": traces, "candidate": traces}
    assert answer["overall"]["verdict"] == "hold"


@pytest.mark.parametrize(
    ("parameters", "parameter", "remedy"),
    [
        pytest.param({"base": "base/model"}, "candidate", "missing", id="missing"),
        pytest.param({**QUESTION, "candidate": "base/model"}, "candidate", "two different arms", id="same-arms"),
        pytest.param({**QUESTION, "cohrt": "eu"}, "cohrt", "no such parameter", id="misspelt"),
        pytest.param({**QUESTION, "from": "yesterday"}, "from", "ISO-8601", id="time"),
        pytest.param({**QUESTION, "from": "1700000000"}, "from", "ISO-8601", id="epoch-seconds"),
        pytest.param({**QUESTION, "from": "0001-01-01T00:00:00+14:00"}, "from", "ISO-8601", id="year-1"),
        pytest.param({**QUESTION, "to": "9999-12-31T23:59:59-14:00"}, "to", "ISO-8601", id="year-9999"),
        pytest.param({**QUESTION, "confidence": "0.9999999999999999"}, "confidence", "0.95", id="confidence-1"),
        pytest.param({**QUESTION, "from": "2026-01-02", "to": "2026-01-01"}, "from", "before 'to'", id="reversed"),
        pytest.param({**QUESTION, "metric": "p99"}, "metric", "latency_p99", id="metric"),
        pytest.param({**QUESTION, "arm_by": "colour"}, "arm_by", "variant", id="arm_by"),
        pytest.param({**QUESTION, "cohort_by": "plan"}, "cohort_by", "route", id="cohort_by"),
        pytest.param({**QUESTION, "cohort_by": "route,route"}, "cohort_by", "each dimension once", id="twice"),
        pytest.param({**QUESTION, "cohort_by": ","}, "cohort_by", "route", id="no-cohort_by"),
        pytest.param({**QUESTION, "mode": "bayesian"}, "mode", "'sequential' or 'fixed'", id="mode"),
        pytest.param({**QUESTION, "mode": "fixed"}, "at_n", "at_n=5000", id="fixed-without-at_n"),
        pytest.param({**QUESTION, "at_n": "500"}, "at_n", "mode=fixed", id="at_n-without-fixed"),
        pytest.param({**QUESTION, "mode": "fixed", "at_n": "0"}, "at_n", "1 to 1,000,000,000", id="at_n-0"),
        pytest.param({**QUESTION, "mode": "fixed", "at_n": "1000000001"}, "at_n", "1 to 1,000,000,000", id="at_n-most"),
        pytest.param({**QUESTION, "planned_traces": "5"}, "planned_traces", "100", id="planned-too-few"),
        pytest.param({**QUESTION, "confidence": "95"}, "confidence", "0.95", id="confidence-in-percent"),
        pytest.param({**QUESTION, "confidence": "nan"}, "confidence", "0.95", id="confidence-nan"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_to_do(
    service: httpx.Client, parameters: dict[str, str], parameter: str, remedy: str
) -> None:
    document = _problem(service.get("/compare", params=parameters), 422)

    assert [error["parameter"] for error in document["errors"]] == [parameter]
    assert remedy in document["errors"][0]["remedy"]
    assert remedy in document["detail"]


def test_an_arm_never_seen_is_not_found_and_lists_what_was(service: httpx.Client) -> None:
    document = _problem(service.get("/compare", params={**QUESTION, "candidate": "typo"}), 404)

    assert document["seen"] == ["base/model", "candidate:model"]


def test_an_empty_lake_says_that_nothing_was_seen(empty_service: httpx.Client) -> None:
    document = _problem(empty_service.get("/compare", params=QUESTION), 404)

    assert "seen: none yet" in document["detail"]
    assert empty_service.get("/models").json() == []
    assert empty_service.get("/series", params={"metric": "error_rate"}).json() == []


def test_an_unknown_path_is_a_problem_that_points_to_the_documentation(service: httpx.Client) -> None:
    assert "/docs" in _problem(service.get("/nothing"), 404)["detail"]


def test_a_damaged_segment_is_named_and_the_service_recovers_without_it(
    empty_service: httpx.Client, tmp_path: Path
) -> None:
    segment = tmp_path / "lake" / "landing" / "spans" / "0000000000000-1-damaged.parquet"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"PAR1 torn")

    document = _problem(empty_service.get("/readyz"), 503)
    segment.unlink()

    assert segment.name in document["detail"]
    assert empty_service.get("/readyz").json() == {"status": "ready"}


def test_the_report_is_a_page_that_links_to_its_json(service: httpx.Client) -> None:
    page = service.get("/report", params=QUESTION)

    assert page.headers["content-type"].startswith("text/html")
    assert "compare?base=base%2Fmodel&amp;candidate=candidate%3Amodel" in page.text


def test_documentation_and_openapi_load_nothing_from_outside(service: httpx.Client) -> None:
    page = service.get("/docs").text

    assert "https://" not in page
    assert service.get("/openapi.json").json()["info"]["title"] == "tracecanary"
