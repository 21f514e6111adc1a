"""An answer is kept while nothing changes, and not a moment longer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.analytics.lake import write_spans

from tracecanary.api.service import running_service

PARAMETERS = {"base": "base", "candidate": "candidate"}


def write_trace(lake: Path, number: int, model: str) -> None:
    write_spans(lake, [{"trace_id": f"{number:032x}", "span_id": "a" * 16, "kind": "llm", "model": model}])


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    write_trace(tmp_path, 1, "base")
    write_trace(tmp_path, 2, "candidate")
    return tmp_path


@pytest.fixture
def client(lake: Path) -> Iterator[httpx.Client]:
    with running_service(lake) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def answer(client: httpx.Client, **parameters: str) -> Any:
    response = client.get("/compare", params={**PARAMETERS, **parameters})
    response.raise_for_status()
    return response.json()


def test_new_traces_are_in_the_next_answer(lake: Path, client: httpx.Client) -> None:
    first, again = answer(client), answer(client)

    write_trace(lake, 3, "base")

    assert again == first
    assert [made["overall"]["traces"]["base"] for made in (first, answer(client))] == [1, 2]


def test_a_changed_policy_is_kept_to_in_the_next_answer(lake: Path, client: httpx.Client) -> None:
    before = answer(client)

    (lake / "policy.yaml").write_text("version: 1\nplanned_traces: 500\n", encoding="utf-8")

    assert [made["question"]["planned_traces"] for made in (before, answer(client))] == [2000, 500]


def test_a_policy_that_can_not_be_used_is_named_and_passes(lake: Path, client: httpx.Client) -> None:
    (lake / "policy.yaml").write_text("version: 1\ncandidate_share: 3\n", encoding="utf-8")

    refused, readiness = client.get("/compare", params=PARAMETERS), client.get("/readyz")

    assert (refused.status_code, readiness.status_code) == (503, 503)
    assert "candidate_share" in refused.json()["detail"]
    (lake / "policy.yaml").unlink()
    assert answer(client)["question"]["planned_traces"] == 2000
    assert client.get("/readyz").status_code == 200


def test_other_parameters_get_another_answer(client: httpx.Client) -> None:
    whole, part = answer(client), answer(client, metric="error_rate")

    assert len(whole["overall"]["metrics"]) > 1
    assert [row["metric"] for row in part["overall"]["metrics"]] == ["error_rate"]
    assert answer(client) == whole
