"""`/gate` and `/rollback`: the answer for tools that know success and failure alone."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.api.service import running_service

S = 1_000_000_000
TRACES = 2000
FAILURES = {"base": 20, "same": 20, "broken": 400}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Two thousand judged traces each of a base, a candidate like it and a broken one, under a lenient policy."""
    lake = tmp_path_factory.mktemp("gate")
    (lake / "policy.yaml").write_text(
        "version: 1\nplanned_traces: 2000\nmetrics:\n"
        "  eval_fail_rate: {margin: 0.03}\n  error_rate: {margin: 0.03}\n  tool_error_rate: {margin: 0.03}\n"
        "  latency_p50: {margin: 1.5}\n  latency_p95: {margin: 1.5}\n  latency_p99: {margin: 2}\n",
        encoding="utf-8",
    )
    write_spans(
        lake,
        [
            {
                "trace_id": f"{model}{number}",
                "span_id": "a",
                "kind": "llm",
                "model": model,
                "duration_ns": S + number % 100 * S // 200,
                "start_unix_ns": number * S,
            }
            for model in FAILURES
            for number in range(TRACES)
        ],
    )
    write_evaluations(
        lake,
        [
            {"trace_id": f"{model}{number}", "name": "reward", "passed": number >= failed}
            for model, failed in FAILURES.items()
            for number in range(TRACES)
        ],
    )
    with running_service(lake) as url, httpx.Client(base_url=url) as opened:
        yield opened


def asked(client: httpx.Client, path: str, candidate: str) -> httpx.Response:
    return client.get(path, params={"base": "base", "candidate": candidate})


def test_what_may_ship_passes_the_gate(client: httpx.Client) -> None:
    response = asked(client, "/gate", "same")

    assert (response.status_code, response.text) == (200, "ship: every guardrail lies within its margin\n")


def test_what_may_not_ship_fails_it_with_one_line(client: httpx.Client) -> None:
    response = asked(client, "/gate", "broken")

    assert response.status_code == 409
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.startswith("roll_back: eval_fail_rate (reward) is worse by more than the margin: +19.0 (")
    assert response.text.count("\n") == 1


@pytest.mark.parametrize(("candidate", "status"), [("broken", 200), ("same", 409)])
def test_rollback_passes_only_for_a_roll_back(client: httpx.Client, candidate: str, status: int) -> None:
    assert asked(client, "/rollback", candidate).status_code == status


def test_the_comparison_answers_200_whatever_the_verdict(client: httpx.Client) -> None:
    responses = [asked(client, "/compare", candidate) for candidate in ("same", "broken")]

    assert [response.status_code for response in responses] == [200, 200]
    assert [response.json()["overall"]["verdict"] for response in responses] == ["ship", "roll_back"]


def test_an_unknown_arm_is_not_found(client: httpx.Client) -> None:
    assert asked(client, "/gate", "typo").status_code == 404


def test_a_look_is_the_same_for_everyone_who_asks(client: httpx.Client) -> None:
    parameters = {"base": "base", "candidate": "same", "mode": "fixed", "at_n": "1500"}

    first, again = (client.get("/compare", params=parameters).json() for _ in range(2))

    assert first == again
    assert (first["question"]["mode"], first["question"]["at_n"]) == ("fixed", 1500)
