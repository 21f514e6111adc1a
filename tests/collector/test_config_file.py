"""The configuration file, applied to an application's spans."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tracecanary.collector import CanarySpanExporter, CanarySpanProcessor
from tracecanary.collector.config import capture_settings, config_path
from tracecanary.collector.models import ModelRules, canonical_model
from tracecanary.collector.rules import EvaluatorRule
from tracecanary.collector.rules_file import read_rules
from tracecanary.schema import ConfigFileError, read_config_file

Stored = Callable[[], list[dict[str, Any]]]

CONFIGURATION = """
[models]
aliases = { "my-ft" = "ft:gpt-4.1:acme" }
provider_prefixes = ["my-gateway"]

[features]
flags = ["model-release"]

[cohorts]
tags = { "tier:gold" = "gold" }

[evaluators."task reward"]
pass_at_least = 0.8
[evaluators.toxicity]
pass_at_most = 0.2
[evaluators.judge]
passing_labels = [" Good", "excellent"]
"""
MESSAGES = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tracecanary.toml"
    path.write_text(CONFIGURATION)
    return path


def trace_calls(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("app")
    wanted = {"feature_flag.key": "model-release", "feature_flag.result.variant": "canary"}
    other = {"feature_flag.key": "colour", "feature_flag.result.variant": "blue"}
    tracer.start_span("1", attributes={**MESSAGES, "gen_ai.request.model": "my-ft", **wanted}).end()
    tracer.start_span("2", attributes={**MESSAGES, "gen_ai.request.model": "my-gateway/gpt-x", **other}).end()
    tracer.start_span("3", attributes={"tag.tags": ["beta", "tier:gold"]}).end()
    provider.shutdown()


def facts(rows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    return [(row["model"], row["variant"], row["cohort"]) for row in sorted(rows, key=lambda row: str(row["name"]))]


BY_THE_FILE = [("ft:gpt-4.1:acme", "canary", None), ("gpt-x", None, None), (None, None, "gold")]


def test_the_processor_applies_it(lake: Path, stored: Stored, config: Path) -> None:
    provider = TracerProvider()
    provider.add_span_processor(CanarySpanProcessor(lake, config=config))

    trace_calls(provider)

    assert facts(stored()) == BY_THE_FILE


def test_the_environment_names_it_for_the_exporter_too(
    lake: Path, stored: Stored, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACECANARY_CONFIG", str(config))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(CanarySpanExporter(lake)))

    trace_calls(provider)

    assert facts(stored()) == BY_THE_FILE


@pytest.mark.parametrize("content", [None, "[modles]\n[prices]\nfile = 3", "not TOML", b"\xff"])
def test_a_broken_file_is_one_error_in_the_log_and_no_loss(
    lake: Path, stored: Stored, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes | None
) -> None:
    path = tmp_path / "broken.toml"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    provider = TracerProvider()

    provider.add_span_processor(CanarySpanProcessor(lake, config=path))
    trace_calls(provider)

    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"no rule of the configuration file is applied: {path}" in record.getMessage()
    assert facts(stored()) == [("my-ft", "canary", None), ("my-gateway/gpt-x", "blue", None), (None, None, None)]


def test_one_wrong_rule_applies_none(lake: Path, config: Path) -> None:
    config.write_text(CONFIGURATION + "\npass_at_least = true\n")

    rules = capture_settings(lake, config=config).rules

    assert rules.models.aliases == {}


def test_results_pass_by_evaluator(config: Path) -> None:
    assert read_rules(read_config_file(config)).evaluators == {
        "task reward": EvaluatorRule(pass_at_least=0.8),
        "toxicity": EvaluatorRule(pass_at_most=0.2),
        "judge": EvaluatorRule(passing_labels=frozenset({"good", "excellent"})),
    }


def test_an_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECANARY_CONFIG", "from/environment")

    assert config_path("given") == Path("given")
    assert config_path() == Path("from/environment")


@pytest.mark.parametrize(
    ("request_model", "response_model", "model"),
    [
        pytest.param(None, "gpt-x-preview", "gpt-x", id="ending"),
        pytest.param("gpt-x-preview", None, "gpt-x-preview", id="an ending that was asked for stays"),
        pytest.param(None, "my-vision-v12", "my-vision", id="shortest ending"),
        pytest.param(None, "gpt-x-preview-2026-11-01", "gpt-x", id="after the date"),
        pytest.param(None, "-preview", "-preview", id="never the whole name"),
    ],
)
def test_endings_of_answers_are_cut(request_model: str | None, response_model: str | None, model: str) -> None:
    rules = ModelRules(version_suffixes=("-preview", "-v*"))

    assert canonical_model(request_model, response_model, rules) == model


def test_declared_baggage_becomes_an_attribute_and_makes_no_canary(lake: Path, stored: Stored, config: Path) -> None:
    config.write_text('[cohorts.dimensions]\ntenant = { baggage = "tenant.id" }')
    processor = CanarySpanProcessor(lake, config=config, max_pending_spans=2, canary_reserve=0.5, flush_interval_s=3600)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("app")

    for tenant in ("acme", "line\nbreak", "too late"):
        tracer.start_span(tenant, context=baggage.set_baggage("tenant.id", tenant)).end()
    provider.shutdown()

    assert [(row["name"], row["attributes"]) for row in stored()] == [("acme", {"tenant.id": "acme"})]
    assert processor.dropped == {"queue_full": 2}


def test_a_dimension_of_content_is_refused(config: Path) -> None:
    config.write_text('[cohorts.dimensions]\nprompt_text = { attribute = "gen_ai.prompt.0.content" }')
    file = read_config_file(config)

    read_rules(file)

    with pytest.raises(ConfigFileError, match="that may hold prompts or secrets, which are never stored"):
        file.check()


def test_a_metric_of_content_is_refused(config: Path) -> None:
    config.write_text('[metrics.words]\nattribute = "gen_ai.prompt.0.content"')
    file = read_config_file(config)

    read_rules(file)

    with pytest.raises(ConfigFileError, match=r"\[metrics.words\] attribute .* which are never stored"):
        file.check()


def test_rules_can_be_turned_off(config: Path) -> None:
    config.write_text("[models]\nstrip_dates = false\nstrip_providers = false\nprovider_prefixes = ['gateway']")

    rules = read_rules(read_config_file(config)).models

    assert canonical_model(None, "openai/gpt-x-2026-11-01", rules) == "openai/gpt-x-2026-11-01"
    assert canonical_model("gateway/openai/gpt-x", None, rules) == "openai/gpt-x"
