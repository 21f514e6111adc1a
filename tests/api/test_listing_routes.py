"""`/models`, `/cohorts` and `/series` over HTTP."""

from __future__ import annotations

import httpx
import pytest


def test_models_have_calls_tokens_and_no_invented_price(service: httpx.Client) -> None:
    base, candidate = service.get("/models").json()

    assert (base["model"], candidate["model"]) == ("base/model", "candidate:model")
    assert (base["traces"], base["llm_calls"], base["input_tokens"], base["output_tokens"]) == (4, 4, 1000, None)
    assert (base["cost_usd"], base["priced"], base["retries"]) == (None, False, None)
    assert (base["llm_errors"], candidate["llm_errors"]) == (0, 1)
    assert base["conventions"] == ["otel_genai"]
    assert (base["first_seen"], base["last_seen"]) == ("2025-10-09T08:53:20Z", "2025-10-09T11:53:20Z")


def test_cohorts_count_their_traces(service: httpx.Client) -> None:
    assert [(row["cohort"], row["traces"]) for row in service.get("/cohorts").json()] == [("eu", 4), ("us", 4)]


def test_a_series_has_a_row_a_bucket_and_arm_ascending(service: httpx.Client) -> None:
    rows = service.get("/series", params={"metric": "latency_p50", "step": "2h"}).json()

    assert [(row["time"], row["arm"], row["cohort"], row["value"], row["n"]) for row in rows] == [
        ("2025-10-09T08:00:00Z", "base/model", None, 1.5, 2),
        ("2025-10-09T08:00:00Z", "candidate:model", None, 1.5, 2),
        ("2025-10-09T10:00:00Z", "base/model", None, 3.5, 2),
        ("2025-10-09T10:00:00Z", "candidate:model", None, 3.5, 2),
    ]
    assert {tuple(row) for row in rows} == {("time", "arm", "cohort", "metric", "value", "n")}


def test_a_series_by_cohort_of_one_arm(service: httpx.Client) -> None:
    parameters = {"metric": "error_rate", "step": "1d", "arm": "candidate:model", "by_cohort": "true"}

    rows = service.get("/series", params=parameters).json()

    assert [(row["cohort"], row["value"], row["n"]) for row in rows] == [("eu", 0.0, 2), ("us", 0.5, 2)]


@pytest.mark.parametrize("step", ["0", "-1h", "1 fortnight", "", "1.5h"])
def test_a_wrong_step_says_what_a_step_looks_like(service: httpx.Client, step: str) -> None:
    response = service.get("/series", params={"metric": "error_rate", "step": step})

    assert response.status_code == 422
    assert "15m, 1h or 1d" in response.json()["detail"]
