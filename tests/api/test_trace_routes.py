"""`/traces` and `/trajectory` over HTTP."""

from __future__ import annotations

import httpx


def test_traces_are_listed_and_explained(service: httpx.Client) -> None:
    rows = service.get("/traces", params={"arm": "candidate:model", "state": "error"}).json()

    assert [(row["arm"], row["cohort"], row["error"], row["link"]) for row in rows] == [
        ("candidate:model", "us", True, None)
    ]
    answer = service.get(f"/traces/{rows[0]['trace_id']}").json()
    assert answer["facts"]["input_tokens"] == 400
    assert [(span["counted"], span["is_call"], span["status"]) for span in answer["spans"]] == [(True, True, "error")]


def test_a_trace_that_nobody_stored_is_a_404_with_a_remedy(service: httpx.Client) -> None:
    response = service.get(f"/traces/{'0' * 32}")

    assert response.status_code == 404
    assert response.json()["type"] == "urn:tracecanary:problem:unknown-trace"
    assert "as /traces lists them" in response.json()["detail"]


def test_a_wrong_state_names_those_there_are(service: httpx.Client) -> None:
    response = service.get("/traces", params={"state": "slow"})

    assert response.status_code == 422
    assert "tool_error" in response.json()["detail"]


def test_trajectory_compares_the_arms(service: httpx.Client) -> None:
    answer = service.get("/trajectory", params={"base": "base/model", "candidate": "candidate:model"}).json()

    assert answer["traces"] == {"base": 4, "candidate": 4}
    calls = next(row for row in answer["places"] if (row["dimension"], row["cohort"]) == ("kind", None))
    assert (calls["place"], calls["candidate"]["first_problems"], calls["effect"]) == ("llm", 1, 0.25)
    assert answer["pairs"] == 0
