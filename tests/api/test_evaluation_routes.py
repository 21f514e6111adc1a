"""`POST /v1/evaluations`: what is accepted is stored, what is not is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tracecanary.api.service import running_service

QUESTION = {"base": "base/model", "candidate": "candidate:model", "metric": "eval_fail_rate"}


@pytest.fixture
def judged(small_lake: Path, tmp_path: Path) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A service over a copy of the small lake, and trace ids of its base arm."""
    lake = tmp_path / "lake"
    shutil.copytree(small_lake, lake)
    with running_service(lake) as url, httpx.Client(base_url=url) as client:
        cohorts = client.get("/compare", params=QUESTION).json()["cohorts"]
        yield client, [trace for cohort in cohorts for trace in cohort["examples"]["base"]]


def _post(client: httpx.Client, *evaluations: object) -> dict[str, Any]:
    response = client.post("/v1/evaluations", json={"evaluations": list(evaluations)})
    assert response.status_code == 200, response.text
    receipt: dict[str, Any] = response.json()
    return receipt


def _fail_rate(client: httpx.Client) -> tuple[str | None, float | None, int]:
    row = client.get("/compare", params=QUESTION).json()["overall"]["metrics"][0]
    return row["evaluator"], row["base"]["value"], row["base"]["n"]


def test_an_evaluation_shows_in_the_next_answer(judged: tuple[httpx.Client, list[str]]) -> None:
    client, traces = judged

    receipt = _post(
        client,
        {"trace_id": traces[0], "name": "quality", "passed": False},
        {"trace_id": traces[1].upper(), "name": "quality", "label": "Correct"},
        {"trace_id": traces[2], "name": "quality", "score": 0.2},
    )

    assert receipt == {"accepted": 3, "rejected": []}
    assert _fail_rate(client) == ("quality", 0.5, 2), "a score alone is unscored: neither passed nor failed"


def test_the_newest_of_one_key_wins(judged: tuple[httpx.Client, list[str]]) -> None:
    client, traces = judged
    _post(client, {"trace_id": traces[0], "name": "quality", "passed": False, "time": "2026-01-02T00:00:00Z"})

    _post(client, {"trace_id": traces[0], "name": "quality", "passed": True, "time": "2026-01-03T00:00:00Z"})

    assert _fail_rate(client) == ("quality", 0.0, 1)


def test_bad_items_are_named_and_the_others_are_stored(judged: tuple[httpx.Client, list[str]]) -> None:
    client, traces = judged

    receipt = _post(
        client,
        {"trace_id": "xyz", "name": "quality", "passed": True},
        {"trace_id": traces[0], "name": "quality", "passed": True},
        {"trace_id": traces[0], "name": "quality", "passed": True, "source": "oracle"},
        {"trace_id": traces[0], "nmae": "quality"},
        "not an object",
        None,
        {"trace_id": traces[0], "name": "quality", "passed": True, "time": "9999-12-31T00:00:00Z"},
        {"trace_id": traces[0], "name": "quality", "passed": True, "time": "0001-01-01T00:00:00+05:00"},
    )

    assert receipt["accepted"] == 1
    assert [(item["index"], item["reason"].split(":")[0]) for item in receipt["rejected"]] == [
        (0, "trace_id"),
        (2, "source"),
        (3, "name"),
        (4, "evaluation"),
        (5, "evaluation"),
        (6, "time"),
        (7, "time"),
    ]
    assert _fail_rate(client) == ("quality", 0.0, 1)


def test_an_evaluation_before_its_trace_waits_for_it(judged: tuple[httpx.Client, list[str]]) -> None:
    client, _ = judged

    receipt = _post(client, {"trace_id": "ab" * 16, "name": "quality", "passed": False})

    assert receipt["accepted"] == 1
    assert _fail_rate(client) == (None, None, 0)


def test_feedback_has_rates_of_its_own(judged: tuple[httpx.Client, list[str]]) -> None:
    client, traces = judged
    _post(
        client,
        {"trace_id": traces[0], "name": "thumbs", "label": "down", "source": "human"},
        {"trace_id": traces[1], "name": "thumbs", "score": 1, "source": "human"},
        {"trace_id": traces[2], "name": "escalation", "source": "human"},
    )

    rows = client.get("/compare", params={**QUESTION, "metric": ["thumbs_down_rate", "escalation_rate"]}).json()

    values = {row["metric"]: (row["base"]["value"], row["base"]["n"]) for row in rows["overall"]["metrics"]}
    assert values == {"thumbs_down_rate": (0.25, 4), "escalation_rate": (0.25, 4)}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="no-json"),
        pytest.param(b'"text"', id="no-object"),
        pytest.param(b'{"evaluations": {}}', id="no-list"),
        pytest.param(b'{"evaluations": [' + b",".join([b"1"] * 10_001) + b"]}", id="too-many"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_as_a_whole(judged: tuple[httpx.Client, list[str]], body: bytes) -> None:
    client, _ = judged

    response = client.post("/v1/evaluations", content=body, headers={"content-type": "application/json"})

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
