"""An answer is kept while nothing changes, and not a moment longer."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.analytics.lake import write_spans

from tracecanary.analytics.comparison import Comparison, compare
from tracecanary.analytics.gathering import MIN_TRACES_FOR_CAP
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.store import Store
from tracecanary.api.routes import comparison as comparison_routes
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


def write_many(lake: Path, traces: int) -> None:
    """Write so many traces more of each arm."""
    call = {"span_id": "a" * 16, "kind": "llm", "duration_ns": 10**9}
    write_spans(
        lake,
        [
            {**call, "trace_id": f"{number:031x}{place}", "model": model}
            for number in range(16, 16 + traces)
            for place, model in enumerate(("base", "candidate"))
        ],
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Comparison]:
    """The comparisons that the service makes, or takes from those it has made."""
    found: list[Comparison] = []

    def noted(store: Store, question: Question) -> Comparison:
        found.append(compare(store, question))
        return found[-1]

    monkeypatch.setattr(comparison_routes, "compare", noted)
    return found


def wait_until_kept(client: httpx.Client, made: list[Comparison], **parameters: str) -> None:
    """Ask until no comparison is needed any more: just after a change, times of folders tell nothing."""
    deadline, pause, before = time.monotonic() + 30, threading.Event(), -1
    while len(made) != before:
        assert time.monotonic() < deadline
        before = len(made)
        pause.wait(0.12)
        answer(client, **parameters)


@pytest.mark.parametrize("traces", [1, MIN_TRACES_FOR_CAP], ids=["without-caps", "with-caps"])
def test_the_same_request_needs_no_second_answer_until_there_are_new_traces(
    lake: Path, client: httpx.Client, made: list[Comparison], traces: int
) -> None:
    write_many(lake, traces)
    wait_until_kept(client, made)
    asked = len(made)

    kept = [answer(client) for _ in range(3)]
    has_asked_again = len(made) > asked
    write_trace(lake, 3, "base")
    changed = answer(client)

    assert not has_asked_again
    assert len(made) > asked
    assert [one["overall"]["traces"]["base"] for one in (*kept, changed)] == [traces + 1] * 3 + [traces + 2]
    assert bool(changed["question"]["caps"]) == (traces >= MIN_TRACES_FOR_CAP)


def test_caps_that_another_process_fixes_are_in_the_next_answer(
    lake: Path, client: httpx.Client, made: list[Comparison]
) -> None:
    write_many(lake, MIN_TRACES_FOR_CAP)
    late = {"from": "2050-01-01"}
    wait_until_kept(client, made, **late)
    before = answer(client, **late)["question"]["caps"]

    caps = compare(Store(lake), Question(selection=Selection(arms=("base", "candidate")))).answer.question.caps

    assert (before, bool(caps)) == ({}, True)
    assert answer(client, **late)["question"]["caps"] == caps
