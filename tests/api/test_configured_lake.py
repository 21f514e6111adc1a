"""What a configuration file says of cohorts and prices, from an application's baggage to the answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from tracecanary.api.config import service_settings
from tracecanary.api.service import running_service
from tracecanary.collector import CanarySpanProcessor

CONFIG = """
[cohorts.dimensions]
tenant = { baggage = "tenant.id" }
region = { resource = "cloud.region" }

[metrics.answer_length]
attribute = "gen_ai.usage.output_tokens" # has a column of its own
unit = "tokens"
[metrics.refunded]
attribute = "app.refunded"
kind = "rate"

[prices]
file = "prices.toml"
"""
QUESTION = {"base": "base", "candidate": "my-ft"}


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("configured")
    (folder / "prices.toml").write_text('[[price]]\nmodel = "my-*"\ninput = 1\noutput = 4\n')
    config = folder / "config.toml"
    config.write_text(CONFIG)
    _capture(folder / "lake", config)
    with (
        running_service(folder / "lake", settings=service_settings(config)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


def _capture(lake: Path, config: Path) -> None:
    """Answer four requests of two tenants with each model."""
    provider = TracerProvider(resource=Resource({"cloud.region": "eu"}))
    provider.add_span_processor(CanarySpanProcessor(lake, config=config))
    tracer = provider.get_tracer("tests")
    asked: dict[str, str | int | bool] = {"gen_ai.operation.name": "chat"}
    asked |= {"gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 100}
    asked |= {"app.refunded": True}
    for model in QUESTION.values():
        for tenant in ("acme", "acme", "acme", "beta"):
            token = context.attach(baggage.set_baggage("tenant.id", tenant))
            tracer.start_span("chat", attributes={**asked, "gen_ai.request.model": model}).end()
            context.detach(token)
    provider.shutdown()


@pytest.mark.parametrize("path", ["/compare/rows", "/series", "/cohorts", "/traces", "/trajectory"])
def test_every_answer_takes_declared_dimensions(configured: httpx.Client, path: str) -> None:
    parameters = {
        "/series": {"metric": "cost_per_trace", "by_cohort": "true"},
        "/compare/rows": QUESTION,
        "/trajectory": QUESTION,
    }.get(path, {})

    found = configured.get(path, params={**parameters, "cohort_by": "tenant,region"}).raise_for_status().json()

    rows = found["places"] if path == "/trajectory" else found
    assert {row["cohort"] for row in rows} - {None} == {"acme / eu", "beta / eu"}


def test_costs_are_by_the_price_file_and_what_has_none_is_named(configured: httpx.Client) -> None:
    answer = configured.get("/compare", params={**QUESTION, "cohort_by": "tenant"}).json()

    (row,) = [row for row in answer["overall"]["metrics"] if row["metric"] == "cost_per_trace"]
    assert (row["base"], row["candidate"]) == ({"value": None, "n": 0}, {"value": 0.0014, "n": 4})
    assert answer["checks"]["costs"]["reason"] == "no price for base in 4 of the base's 4 traces"
    assert {one["cohort"]: one["traces"] for one in answer["cohorts"]} == {
        "acme": {"base": 3, "candidate": 3},
        "beta": {"base": 1, "candidate": 1},
    }


def test_metrics_of_ones_own_are_in_every_answer(configured: httpx.Client) -> None:
    asked = {**QUESTION, "metric": ["answer_length", "refunded"]}
    rows = configured.get("/compare/rows", params=asked).raise_for_status().json()
    series = configured.get("/series", params={"metric": "refunded", "step": "1d"}).raise_for_status().json()
    report = configured.get("/report", params=QUESTION).raise_for_status().text

    found = {(row["metric"], row["unit"], row["base_value"], row["base_n"]) for row in rows if row["cohort"] is None}
    assert found == {("answer_length", "tokens", 100.0, 4), ("refunded", "fraction", 1.0, 4)}
    assert {(row["arm"], row["value"]) for row in series} == {("base", 1.0), ("my-ft", 1.0)}
    assert "answer length" in report
    refused = configured.get("/compare", params={**QUESTION, "metric": "refund"})
    assert (refused.status_code, "steps_per_trace, answer_length, refunded" in refused.json()["detail"]) == (422, True)


def test_an_unknown_dimension_is_refused_with_those_there_are(configured: httpx.Client) -> None:
    response = configured.get("/cohorts", params={"cohort_by": "tennant"})

    assert response.status_code == 422
    assert "environment, release, prompt, tenant, region" in response.json()["detail"]
