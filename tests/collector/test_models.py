from __future__ import annotations

import pytest
from tests.collector.test_normalise import row_of

from tracecanary.collector.models import ModelRules, canonical_model
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.rules import Rules


@pytest.mark.parametrize(
    ("request_model", "response_model", "model"),
    [
        pytest.param("openai/gpt-x", None, "gpt-x", id="provider"),
        pytest.param("openrouter/anthropic/claude-x", None, "claude-x", id="two providers"),
        pytest.param("meta-llama/Llama-3", None, "meta-llama/Llama-3", id="no provider"),
        pytest.param("gpt-x-2026-05-13", "gpt-x-2026-05-13", "gpt-x-2026-05-13", id="date asked for stays"),
        pytest.param("azure/gpt-x-2026-05-13", None, "gpt-x-2026-05-13", id="provider and date"),
        pytest.param(None, "vertex_ai/gemini-x@001", "gemini-x", id="versioned answer"),
        pytest.param(None, "gemini-2.5-flash-001", "gemini-2.5-flash", id="numbered answer of Gemini"),
        pytest.param("gemini-2.5-flash-001", None, "gemini-2.5-flash-001", id="number asked for stays"),
        pytest.param(None, "text-embedding-ada-002", "text-embedding-ada-002", id="number that is the name"),
        pytest.param("ft:gpt-x:org::1", None, "ft:gpt-x:org::1", id="fine-tune"),
        pytest.param("openai/", None, "openai/", id="no model"),
        pytest.param("", "gpt-x", "", id="empty"),
    ],
)
def test_model_without_aliases(request_model: str | None, response_model: str | None, model: str) -> None:
    assert canonical_model(request_model, response_model) == model


@pytest.mark.parametrize(
    ("request_model", "response_model", "model"),
    [
        pytest.param("prod-deployment", None, "gpt-x", id="exact"),
        pytest.param("azure/prod-deployment", None, "gpt-x", id="exact without its provider"),
        pytest.param(None, "prod-deployment", "gpt-x", id="of an answer"),
        pytest.param("tuned-7", None, "tuned", id="glob"),
        pytest.param("tuned-8", None, "eight", id="exact before glob"),
        pytest.param(None, "tuned-9-2026-11-01", "tuned", id="glob of a dated answer"),
        pytest.param(None, "gpt-y-2026-05-13", "gpt-y-2026-05-13", id="a date that shall stay"),
        pytest.param("gpt-y-2026-11-01", None, "gpt-y", id="a date that shall go"),
        pytest.param("other", None, "other", id="none"),
    ],
)
def test_model_with_aliases(request_model: str | None, response_model: str | None, model: str) -> None:
    aliases = {
        "prod-deployment": "gpt-x",
        "tuned-*": "tuned",
        "tuned-8": "eight",
        "gpt-y-2026-05-13": "gpt-y-2026-05-13",
        "gpt-y-2026-11-01": "gpt-y",
    }

    assert canonical_model(request_model, response_model, ModelRules(aliases=aliases)) == model


def test_failure_that_names_the_request_lands_beside_the_answer_that_names_itself() -> None:
    failed = {"openinference.span.kind": "LLM", "llm.invocation_parameters": '{"model": "gpt-x"}'}
    answered = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-x-2026-11-01"}

    assert row_of(failed, status_code=2)["model"] == row_of(answered)["model"] == "gpt-x"


def test_normaliser_applies_its_aliases() -> None:
    normaliser = Normaliser(Rules(models=ModelRules(aliases={"prod": "gpt-x"})))

    assert (
        row_of({"gen_ai.operation.name": "chat", "gen_ai.request.model": "prod"}, normaliser=normaliser)["model"]
        == "gpt-x"
    )
