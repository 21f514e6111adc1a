"""The examples for Argo Rollouts and Flagger in `deploy`, against a running service, by the rules of both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.api.service import running_service

DEPLOY = Path(__file__).parents[2] / "deploy"
S = 1_000_000_000
# By model, failures of 500 judged traces each; a model named as fine-tunes and gateways are.
FAILURES = {"gpt-4.1": 5, "ft:gpt-4.1:acme/same": 5, "broken": 100, "tried": 0}
FEW = 20
CONDITION = re.compile(r'result\.(\w+) == "(\w+)"')


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    lake = tmp_path_factory.mktemp("rollouts")
    (lake / "policy.yaml").write_text(
        "version: 1\nplanned_traces: 500\nmetrics:\n"
        "  eval_fail_rate: {margin: 0.05}\n  error_rate: {margin: 0.05}\n  tool_error_rate: {margin: 0.05}\n"
        "  latency_p50: {margin: 2}\n  latency_p95: {margin: 2}\n  latency_p99: {required: false, role: informative}\n",
        encoding="utf-8",
    )
    traces = [(model, number) for model in FAILURES for number in range(FEW if model == "tried" else 500)]
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
            for model, number in traces
        ],
    )
    write_evaluations(
        lake,
        [
            {"trace_id": f"{model}{number}", "name": "reward", "passed": number >= FAILURES[model]}
            for model, number in traces
        ],
    )
    with running_service(lake) as url, httpx.Client(base_url=url, timeout=60) as opened:
        yield opened


def manifest(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return document


def refuse_constant(name: str) -> float:
    raise ValueError(f"Go's JSON has no {name}")


def measured_by_argo(client: httpx.Client, candidate: str) -> str:
    """Return the phase of one measurement, as Argo's web provider makes it."""
    spec = manifest("argo-rollouts/analysis-template.yaml")["spec"]
    (metric,) = spec["metrics"]
    web = metric["provider"]["web"]
    given = {argument["name"]: argument.get("value", "") for argument in spec["args"]}
    given |= {"base": "gpt-4.1", "candidate": candidate, "service": str(client.base_url).rstrip("/")}
    url = re.sub(r"{{args\.(\w+)}}", lambda match: str(given[match[1]]), web["url"])
    response = client.get(url, timeout=web["timeoutSeconds"])
    if not response.is_success:
        return "Error"
    document = json.loads(response.text, parse_constant=refuse_constant)
    path = re.fullmatch(r"{\$\.(\w+)}", web["jsonPath"])
    assert path is not None
    result = document[path[1]]
    if is_met(metric["failureCondition"], result):
        return "Failed"
    return "Successful" if is_met(metric["successCondition"], result) else "Inconclusive"


def is_met(condition: str, result: Mapping[str, Any]) -> bool:
    parts = CONDITION.fullmatch(condition)
    assert parts is not None
    return bool(result[parts[1]] == parts[2])


@pytest.mark.parametrize(
    ("candidate", "phase"),
    [
        ("ft:gpt-4.1:acme%2Fsame", "Successful"),
        ("broken", "Failed"),
        ("tried", "Inconclusive"),
        pytest.param("typo", "Error", id="an-arm-that-nobody-has-seen"),
    ],
)
def test_argo_goes_on_rolls_back_or_keeps_waiting(client: httpx.Client, candidate: str, phase: str) -> None:
    assert measured_by_argo(client, candidate) == phase


def test_argo_waits_while_the_answer_is_to_wait() -> None:
    (metric,) = manifest("argo-rollouts/analysis-template.yaml")["spec"]["metrics"]

    assert metric["failureLimit"] == 0
    assert metric["inconclusiveLimit"] >= 1000
    assert not {"count", "consecutiveSuccessLimit"} & metric.keys()


@pytest.mark.parametrize(
    ("candidate", "statuses"),
    [
        ("ft:gpt-4.1:acme%2Fsame", {"confirm-promotion": 200, "rollback": 409}),
        ("broken", {"confirm-promotion": 409, "rollback": 200}),
        ("tried", {"confirm-promotion": 409, "rollback": 409}),
    ],
)
def test_flaggers_hooks_confirm_a_promotion_or_roll_back(
    client: httpx.Client, candidate: str, statuses: dict[str, int]
) -> None:
    hooks = manifest("flagger/canary.yaml")["spec"]["analysis"]["webhooks"]
    payload = {"name": "assistant", "namespace": "default", "phase": "Progressing", "metadata": {}}

    found = {}
    for hook in hooks:
        url = urlsplit(hook["url"].replace("gpt-4.1-tuned", candidate))
        found[hook["type"]] = client.post(f"{url.path}?{url.query}", json=payload).status_code

    assert found == statuses


@pytest.mark.parametrize(
    ("candidate", "value", "is_within"),
    [("ft:gpt-4.1:acme/same", 1.0, True), ("tried", 0.0, True), ("broken", -1.0, False)],
)
def test_flaggers_metric_fails_for_a_roll_back_alone(
    client: httpx.Client, candidate: str, value: float, is_within: bool
) -> None:
    query = manifest("flagger/metric-template.yaml")["spec"]["query"].strip()
    analysis = manifest("flagger/canary.yaml")["spec"]["analysis"]["metrics"][0]
    (scrape,) = manifest("flagger/prometheus.yaml")["scrape_configs"]
    parameters = {name: values[0] for name, values in scrape["params"].items()} | {"candidate": candidate}
    name, selector = re.fullmatch(r"(\w+){(.*)}", query).groups()  # type: ignore[union-attr]  # else the test fails
    variables = {**analysis["templateVariables"], "candidate": candidate}
    wanted = {
        label: re.sub(r"{{ variables\.(\w+) }}", lambda match: variables[match[1]], text)
        for label, text in re.findall(r'(\w+)="([^"]*)"', selector)
    }

    exposed = client.get(scrape["metrics_path"], params=parameters)

    samples = [sample for family in text_string_to_metric_families(exposed.text) for sample in family.samples]
    (found,) = [sample.value for sample in samples if sample.name == name and sample.labels == wanted]
    assert found == value
    assert (found >= analysis["thresholdRange"]["min"]) is is_within
