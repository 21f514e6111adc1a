"""Spans written by hand, one or more a family, straight from what the libraries' source and documentation say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.collector.test_normalise import row_of

from tracecanary.collector.captured import CapturedEvent
from tracecanary.collector.conventions import CONVENTIONS, find_convention
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.plans import LEADING_COLUMNS
from tracecanary.collector.rules import Rules
from tracecanary.schema import SPAN_COLUMNS

KINDS = {"llm", "embedding", "agent", "chain", "tool", "retriever", "evaluator", "guardrail", "attempt", "other"}
OPENAI_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
TOKENS = {"input_tokens": 100, "output_tokens": 20, "cache_read_tokens": 64, "reasoning_tokens": 8}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-x"}

CASES: list[Any] = [
    pytest.param(
        "opentelemetry.util.genai",
        {
            **CHAT,
            "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 64,
            "gen_ai.usage.cache_write.input_tokens": 3,
            "gen_ai.usage.reasoning.output_tokens": 8,
            "gen_ai.response.time_to_first_chunk": 0.25,
        },
        {**TOKENS, "convention": "otel_genai", "cache_write_tokens": 3, "time_to_first_token_ns": 250_000_000},
        id="otel-current",
    ),
    pytest.param(
        "openai_v0",
        {**CHAT, "gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 5, "gen_ai.usage.completion_tokens": 2},
        {"convention": "otel_genai_1_36", "provider": "openai", "input_tokens": 5, "output_tokens": 2},
        id="otel-oldest",
    ),
    pytest.param(
        "Microsoft.SemanticKernel.Diagnostics",
        {
            "gen_ai.operation.name": "chat.completions",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-x",
            "gen_ai.response.prompt_tokens": 12,
            "gen_ai.response.completion_tokens": 5,
        },
        {"convention": "semantic_kernel", "kind": "llm", "input_tokens": 12, "output_tokens": 5, "model": "gpt-x"},
        id="semantic-kernel-of-net-first-names",
    ),
    pytest.param(
        "opentelemetry.instrumentation.openai",
        {
            "llm.request.type": "chat",
            "llm.vendor": "OpenAI",
            "llm.request.model": "gpt-x",
            "llm.response.model": "gpt-x-0613",
            "llm.usage.prompt_tokens": 21,
            "llm.usage.completion_tokens": 4,
        },
        {"convention": "traceloop", "provider": "OpenAI", "input_tokens": 21, "output_tokens": 4, "model": "gpt-x"},
        id="traceloop-before-genai",
    ),
    pytest.param(
        "gcp.vertex.agent",
        {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-x",
            "gcp.vertex.agent.session_id": "s-1",
            "gcp.vertex.agent.llm_response": '{"content": {}, "usage_metadata": {"prompt_token_count": 17, '
            '"candidates_token_count": 6, "thoughts_token_count": 4, "cached_content_token_count": 3}}',
        },
        {
            "conversation_id": "s-1",
            "input_tokens": 17,
            "output_tokens": 10,
            "reasoning_tokens": 4,
            "cache_read_tokens": 3,
        },
        id="google-adk-usage-in-the-answer",
    ),
    pytest.param(
        "openinference.instrumentation.anthropic",
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "anthropic",
            "llm.request.model_name": "claude-x",
            "llm.response.model_name": "claude-x-20261101",
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 20,
            "llm.token_count.prompt_details.cache_input": 64,
            "llm.token_count.completion_details.reasoning": 8,
            "llm.cost.total": 0.5,
        },
        {**TOKENS, "kind": "llm", "model": "claude-x", "reported_cost_nano_usd": 500_000_000},
        id="openinference-new-names",
    ),
    pytest.param(
        "openinference.instrumentation.openai",
        {"openinference.span.kind": "LLM", "input.value": '{"model": "gpt-x", "messages": []}'},
        {"request_model": "gpt-x", "model": "gpt-x"},
        id="openinference-failure-names-the-model-in-the-request-only",
    ),
    pytest.param(
        "openinference.instrumentation.claude_agent_sdk",
        {
            "openinference.span.kind": "AGENT",
            "llm.provider": "anthropic",
            "llm.model_name": "claude-x",
            "llm.token_count.prompt": 10,
            "llm.token_count.completion": 20,
            "llm.token_count.prompt_details.cache_read": 64,
            "llm.token_count.prompt_details.cache_write": 6,
            "llm.cost.total": 0.01,
        },
        # Anthropic's own count leaves cached tokens out.
        {"kind": "agent", "model": "claude-x", "input_tokens": 80, "reported_cost_nano_usd": 10_000_000},
        id="claude-agent-sdk",
    ),
    pytest.param(
        "openinference.instrumentation.openai_agents",
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-x-2026-11-01",
            "llm.invocation_parameters": '{"id": "resp_1", "model": "gpt-x-2026-11-01"}',
        },
        {"request_model": None, "response_model": "gpt-x-2026-11-01", "model": "gpt-x"},
        id="openai-agents-parameters-are-the-answers",
    ),
    pytest.param(
        "opentelemetry.instrumentation.openai_agents",
        {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "triage"},
        {"convention": "openai_agents", "kind": "chain", "route": "triage"},
        id="openai-agents-genai",
    ),
    pytest.param(
        "traceai_openai",
        {
            "gen_ai.span.kind": "LLM",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-x-2026-11-01",
            "gen_ai.request.parameters": '{"model": "gpt-x"}',
            "gen_ai.usage.input_tokens": "100",
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read_tokens": 64,
            "gen_ai.usage.output_tokens.reasoning": 8,
        },
        {**TOKENS, "convention": "traceai", "response_model": "gpt-x-2026-11-01", "model": "gpt-x"},
        id="traceai-openai",
    ),
    pytest.param(
        "fi.instrumentation",
        {
            "fi.span.kind": "LLM",
            "llm.model_name": "gpt-x-2026-11-01",
            "llm.invocation_parameters": '{"model": "gpt-x"}',
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 20,
        },
        {"convention": "traceai", "kind": "llm", "model": "gpt-x", "input_tokens": 100, "output_tokens": 20},
        id="traceai-older",
    ),
    pytest.param(
        "opentelemetry.instrumentation.anthropic",
        {
            "llm.request.type": "completion",
            "gen_ai.system": "Anthropic",
            "gen_ai.request.model": "claude-x",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 20,
            "gen_ai.usage.cache_read_input_tokens": 64,
            "llm.usage.reasoning_tokens": 8,
            "gen_ai.response.finish_reason": "end_turn",
        },
        {**TOKENS, "convention": "traceloop", "kind": "llm", "finish_reason": "stop"},
        id="traceloop-old",
    ),
    pytest.param(
        "pydantic-ai",
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.aggregated_usage.input_tokens": 290,
            "gen_ai.aggregated_usage.output_tokens": 63,
        },
        {"convention": "pydantic_ai", "kind": "agent", "input_tokens": None, "output_tokens": None},
        id="pydantic-ai-totals-are-no-usage",
    ),
    pytest.param(
        "pydantic-ai",
        {**CHAT, "operation.cost": 0.002, "gen_ai.usage.details.reasoning_tokens": 8},
        {"reported_cost_nano_usd": 2_000_000, "reasoning_tokens": 8},
        id="pydantic-ai-cost",
    ),
    pytest.param(
        "logfire.openai",
        {
            "gen_ai.operation.name": "chat",
            "request_data": '{"model": "gpt-x", "stream": true}',
            "gen_ai.response.finish_reasons": '["stop"]',
        },
        {"convention": "logfire", "kind": "llm", "model": "gpt-x", "finish_reason": "stop"},
        id="logfire",
    ),
    pytest.param(
        "logfire.openai",
        {
            **CHAT,
            "request_data": '{"model": "gpt-x"}',
            "gen_ai.response.id": "r",
            "gen_ai.usage.raw": json.dumps(OPENAI_USAGE),
        },
        {**TOKENS, "convention": "logfire", "kind": "llm", "model": "gpt-x"},
        id="logfire-raw-usage",
    ),
    pytest.param(
        "gen_ai",
        {**CHAT, "gen_ai.provider.name": "openai"},
        {"convention": "vercel_ai_sdk", "kind": "llm", "provider": "openai"},
        id="vercel-own-scope",
    ),
    pytest.param(
        "agent_framework",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "microsoft.agent_framework"},
        {"convention": "otel_genai", "kind": "agent", "provider": None},
        id="framework-is-no-provider",
    ),
    pytest.param(
        "pydantic-ai",
        {**CHAT, "gen_ai.request.model": "fallback:gpt-x,gpt-y", "gen_ai.provider.name": "fallback:openai,openai"},
        {"convention": "pydantic_ai", "kind": "llm", "model": None, "provider": None},
        id="pydantic-ai-list-of-models-is-no-model",
    ),
    pytest.param(
        "openinference.instrumentation.litellm",
        {
            "openinference.span.kind": "EMBEDDING",
            "embedding.invocation_parameters": '{"model": "openai/embed-x", "api_base": "http://localhost"}',
            "embedding.model_name": "embed-x",
            "llm.token_count.prompt": 12,
        },
        {"kind": "embedding", "model": "embed-x", "input_tokens": 12, "request_model": "openai/embed-x"},
        id="openinference-embedding",
    ),
    pytest.param(
        "traceai_litellm",
        {"gen_ai.span.kind": "EMBEDDING", "embedding.model_name": "openai/embed-x", "gen_ai.usage.input_tokens": 12},
        {"convention": "traceai", "kind": "embedding", "model": "embed-x", "input_tokens": 12},
        id="traceai-embedding",
    ),
    pytest.param(
        "traceai_openai_agents",
        {
            "gen_ai.span.kind": "LLM",
            "gen_ai.request.model": "gpt-x-2026-11-01",
            "gen_ai.request.parameters": '{"id": "resp_1", "model": "gpt-x-2026-11-01"}',
        },
        {"convention": "traceai", "model": "gpt-x", "request_model": None, "response_model": "gpt-x-2026-11-01"},
        id="traceai-openai-agents-names-the-answers-model",
    ),
    pytest.param(
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-x",
            "langfuse.observation.usage_details": json.dumps(
                {"input": 30, "output": 12, "total": 120, "input_cache_read": 64, "output_reasoning": 8}
                | {"input_cache_creation": 6}
            ),
        },
        {**TOKENS, "convention": "langfuse", "cache_write_tokens": 6},
        id="langfuse-details-taken-out-of-the-count",
    ),
    pytest.param(
        "opentelemetry.instrumentation.anthropic",
        {**CHAT, "gen_ai.provider.name": "anthropic"},
        {"convention": "traceloop", "kind": "llm", "provider": "anthropic"},
        id="traceloop-anthropic",
    ),
    pytest.param(
        "opentelemetry.instrumentation.langchain",
        {"gen_ai.operation.name": "invoke_agent", "traceloop.span.kind": "workflow", "gen_ai.agent.name": "a"},
        {"convention": "traceloop", "kind": "chain", "agent_name": "a"},
        id="traceloop-graph-below-its-agent",
    ),
    pytest.param(
        "gcp.vertex.agent",
        {
            "gen_ai.system": "gcp.vertex.agent",
            "gen_ai.request.model": "gemini-x",
            "gen_ai.usage.input_tokens": 101,
            "gen_ai.usage.output_tokens": 21,
            "gcp.vertex.agent.llm_response": json.dumps(
                {
                    "usage_metadata": {
                        "prompt_token_count": 101,
                        "candidates_token_count": 21,
                        "thoughts_token_count": 8,
                        "total_token_count": 130,
                    }
                }
            ),
        },
        {"convention": "google_adk", "kind": "llm", "input_tokens": 101, "output_tokens": 29, "reasoning_tokens": 8},
        id="adk-1-thoughts-are-apart",
    ),
    pytest.param(
        "gcp.vertex.agent",
        {
            "gen_ai.request.model": "openai/gpt-x",
            "gen_ai.usage.output_tokens": 33,
            "gcp.vertex.agent.llm_response": json.dumps(
                {
                    "usage_metadata": {
                        "prompt_token_count": 145,
                        "candidates_token_count": 25,
                        "thoughts_token_count": 8,
                        "total_token_count": 170,
                    }
                }
            ),
        },
        {"model": "gpt-x", "output_tokens": 25},
        id="adk-total-tells-what-includes-thoughts",
    ),
    pytest.param(
        "gcp.vertex.agent",
        {"gen_ai.usage.output_tokens": 33, "gcp.vertex.agent.llm_response": "<not serializable>"},
        {"output_tokens": 33},
        id="adk-answer-that-is-no-document",
    ),
    pytest.param(
        "ai",
        {
            **CHAT,
            "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.client.operation.time_to_first_chunk": 0.5,
        },
        {"convention": "vercel_ai_sdk", "kind": "llm", "time_to_first_token_ns": 500_000_000},
        id="vercel-gen-ai-mode",
    ),
    pytest.param(
        "ai",
        {
            "ai.operationId": "ai.embed.doEmbed",
            "ai.model.id": "embed-x",
            "ai.model.provider": "openai.embedding",
            "ai.usage.tokens": 4,
            "ai.telemetry.metadata.cohort": "eu",
            "ai.telemetry.metadata.sessionId": "s1",
            "ai.telemetry.metadata.userId": "u1",
        },
        {
            "kind": "embedding",
            "provider": "openai",
            "input_tokens": 4,
            "cohort": "eu",
            "conversation_id": "s1",
            "user_id": "u1",
        },
        id="vercel-legacy-metadata",
    ),
    pytest.param(
        "litellm",
        {
            "gen_ai.operation.name": "acompletion",
            "gen_ai.request.model": "gpt-x",
            "gen_ai.system": "openai",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "metadata.usage_object": repr({**OPENAI_USAGE, "note": None}),
            "gen_ai.cost.total_cost": 0.0,
            "litellm.model_group": "primary",
        },
        {**TOKENS, "convention": "litellm", "kind": "llm", "reported_cost_nano_usd": None, "route": "primary"},
        id="litellm-python-repr",
    ),
    pytest.param(
        "langsmith",
        {
            "langsmith.span.kind": "llm",
            "gen_ai.system": "langchain",
            "langsmith.metadata.ls_provider": "openai",
            "langsmith.metadata.ls_model_name": "gpt-x",
            "langsmith.metadata.usage_metadata": json.dumps(
                {
                    "input_tokens": 100,
                    "output_tokens": 20,
                    "input_token_details": {"cache_read": 64},
                    "output_token_details": {"reasoning": 8},
                }
            ),
            "langsmith.metadata.cohort": "eu",
            "langsmith.metadata.thread_id": "t1",
            "langsmith.trace.session_name": "project",
            "langsmith.span.tags": "canary, graph:step:3",
        },
        {
            **TOKENS,
            "convention": "langsmith",
            "provider": "openai",
            "model": "gpt-x",
            "cohort": "eu",
            "conversation_id": "t1",
            "step": 3,
            "step_source": "framework",
        },
        id="langsmith",
    ),
    pytest.param(
        "langsmith",
        {"langsmith.span.kind": "chain", "gen_ai.system": "langchain"},
        {"kind": "chain", "provider": None},
        id="langsmith-framework-is-no-provider",
    ),
    pytest.param(
        "langfuse-sdk",
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "gpt-x-2026-11-01",
            "langfuse.observation.usage_details": json.dumps(OPENAI_USAGE),
            "langfuse.observation.cost_details": '{"total": 0.25}',
            "langfuse.observation.prompt.name": "greet",
            "langfuse.observation.prompt.version": 4,
            "langfuse.trace.metadata.cohort": '"eu"',
            "langfuse.release": "1.2",
            "langfuse.environment": "prod",
            "session.id": "s1",
        },
        {
            **TOKENS,
            "convention": "langfuse",
            "kind": "llm",
            "model": "gpt-x",
            "reported_cost_nano_usd": 250_000_000,
            "prompt_name": "greet",
            "prompt_version": "4",
            "cohort": "eu",
            "release": "1.2",
            "environment": "prod",
            "conversation_id": "s1",
        },
        id="langfuse",
    ),
    pytest.param(
        "langfuse-sdk",
        {
            "langfuse.observation.type": "embedding",
            "langfuse.observation.usage_details": '{"input": 5, "output": 0, "total": 5}',
        },
        {"kind": "embedding", "input_tokens": 5, "output_tokens": 0},
        id="langfuse-own-usage",
    ),
    pytest.param(
        "mlflow",
        {
            "mlflow.spanType": '"CHAT_MODEL"',
            "mlflow.llm.provider": '"openai"',
            "model": '"gpt-x"',
            "mlflow.llm.model": '"gpt-x-2026-11-01"',
            "mlflow.chat.tokenUsage": '{"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 64}',
            "mlflow.llm.cost": '{"input_cost": 0.1, "total_cost": 0.3}',
            "mlflow.trace.session": '"s1"',
            "mlflow.trace.user": '"u1"',
            "mlflow.linkedPrompts": '[{"name": "greet", "version": "4"}]',
        },
        {
            "convention": "mlflow",
            "kind": "llm",
            "provider": "openai",
            "request_model": "gpt-x",
            "response_model": "gpt-x-2026-11-01",
            "input_tokens": 100,
            "cache_read_tokens": 64,
            "reported_cost_nano_usd": 300_000_000,
            "conversation_id": "s1",
            "user_id": "u1",
            "prompt_name": "greet",
            "prompt_version": "4",
        },
        id="mlflow",
    ),
    pytest.param(
        "semantic_kernel.utils.telemetry.model_diagnostics.decorators",
        {
            "gen_ai.operation.name": "chat.completions",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-x",
            "gen_ai.response.finish_reason": "FinishReason.STOP",
        },
        {"convention": "semantic_kernel", "kind": "llm", "finish_reason": "stop"},
        id="semantic-kernel",
    ),
    pytest.param(
        "gcp.vertex.agent",
        {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini/gemini-x"},
        {"convention": "google_adk", "kind": "llm", "provider": None, "model": "gemini-x"},
        id="google-adk-older",
    ),
    pytest.param(
        "strands.telemetry.tracer",
        {**CHAT, "gen_ai.system": "strands-agents", "gen_ai.server.time_to_first_token": 61},
        {"convention": "strands", "provider": None, "time_to_first_token_ns": 61_000_000},
        id="strands",
    ),
]


@pytest.mark.parametrize(("scope", "attributes", "expected"), CASES)
def test_values_of_a_convention_are_read(scope: str, attributes: dict[str, Any], expected: dict[str, Any]) -> None:
    row = row_of(attributes, scope_name=scope, name="call_llm")

    assert {column: row[column] for column in expected} == expected
    assert row["scope_name"] == scope


def test_tables_name_known_columns_and_kinds() -> None:
    columns = {column.name for column in SPAN_COLUMNS}

    for convention in CONVENTIONS:
        assert set(convention.columns) <= columns
        assert {*convention.kinds.values(), *convention.kinds_by_name.values()} <= KINDS
        assert all(value == value.lower() for value in convention.kinds)


def test_rows_start_with_the_leading_columns() -> None:
    assert tuple(column.name for column in SPAN_COLUMNS[: len(LEADING_COLUMNS)]) == LEADING_COLUMNS


def test_mark_needs_its_scope_and_its_attributes() -> None:
    with_mark = find_convention("strands.telemetry.tracer", {"gen_ai.operation.name": "chat"})
    without = find_convention("strands.telemetry.tracer", {"http.route": "/"})

    assert (with_mark and with_mark.name, without) == ("strands", None)


def test_failed_attempt_below_a_call_is_an_attempt() -> None:
    row = row_of(
        {"pydantic_ai.model_request.attempt": 0, "gen_ai.request.model": "gpt-x"},
        scope_name="pydantic-ai",
        name="model request attempt gpt-x",
    )

    assert (row["kind"], row["model"], row["retry_count"]) == ("attempt", "gpt-x", None)


def test_raw_litellm_request_is_an_attempt_with_its_own_usage() -> None:
    row = row_of(
        {"llm.openai.usage": repr(OPENAI_USAGE), "llm.openai.model": "gpt-x-2026-11-01", "llm.openai.choices": "hi"},
        scope_name="litellm",
        name="raw_gen_ai_request",
    )

    assert {column: row[column] for column in TOKENS} == TOKENS
    assert (row["kind"], row["model"]) == ("attempt", "gpt-x")
    assert "llm.openai.choices" not in row["attributes"]


@pytest.mark.parametrize(
    ("attributes", "exception", "error_type", "error_class"),
    [
        ({"error.type": "openai.RateLimitError"}, None, "openai.RateLimitError", "rate_limit"),
        ({"error.type": "APITimeoutError"}, None, "APITimeoutError", "timeout"),
        ({"error.type": "503"}, None, "503", "server"),
        ({"error.type": "timeout"}, None, "timeout", "timeout"),
        ({"http.response.status_code": 404}, None, "404", "client"),
        ({"http.status_code": "429"}, None, "429", "rate_limit"),
        ({"error.code": "504"}, None, "504", "timeout"),
        ({"http.response.status_code": 200}, None, None, "other"),
        ({}, {"exception.type": "ValueError"}, "ValueError", "other"),
        (
            {},
            {"exception.type": "Exception", "exception.message": "InternalServerError('Error code: 500 - down')..."},
            "InternalServerError",
            "server",
        ),
        (
            {},
            {
                "exception.type": "openai.BadRequestError",
                "exception.message": "Error code: 400 - context_length_exceeded",
            },
            "openai.BadRequestError",
            "context_length",
        ),
        (
            {"error.type": "BadRequestError", "error.message": "blocked by the content management policy"},
            None,
            "BadRequestError",
            "content_filter",
        ),
        (
            {"error.type": "litellm.ContentPolicyViolationError"},
            None,
            "litellm.ContentPolicyViolationError",
            "content_filter",
        ),
        ({}, {"exception.type": "E", "exception.message": "status_code: 500, model_name: x"}, "E", "server"),
        ({}, None, None, "other"),
    ],
)
def test_failures_have_a_type_and_a_class(
    attributes: dict[str, Any], exception: dict[str, str] | None, error_type: str | None, error_class: str
) -> None:
    events = (CapturedEvent("exception", exception),) if exception else ()

    row = row_of(attributes, events=events, status_code=2)

    assert (row["error_type"], row["error_class"]) == (error_type, error_class)


@pytest.mark.parametrize(
    ("attributes", "message", "error_class"),
    [
        pytest.param({}, "APITimeoutError: Request timed out.", "timeout", id="type"),
        pytest.param({}, "Error code: 503 - down", "server", id="http-status"),
        pytest.param({"error.type": "BadRequestError"}, "maximum context length is 8192", "context_length", id="words"),
        pytest.param({"error.type": "APITimeoutError"}, "ValueError: no", "timeout", id="a-type-is-better"),
        pytest.param({"error.message": "rate limit"}, "maximum context length", "rate_limit", id="a-message-is-better"),
        pytest.param({}, "wrong", "other", id="nothing"),
    ],
)
def test_the_status_tells_the_class_when_nothing_better_does(
    attributes: dict[str, str], message: str, error_class: str
) -> None:
    row = row_of(attributes, status_code=2, status_message=message)

    assert row["error_class"] == error_class
    assert message not in str(row)


def test_class_is_of_failed_spans_only() -> None:
    assert row_of({"error.type": "timeout"})["error_class"] is None


def test_retry_and_fallback_events_are_read() -> None:
    row = row_of(
        {**CHAT},
        events=(
            CapturedEvent("gen_ai.retry", {}),
            CapturedEvent("gen_ai.retry", {}),
            CapturedEvent("gen_ai.fallback", {"gen_ai.fallback.from": "gpt-x", "reason": "down"}),
        ),
    )

    assert (row["retry_count"], row["retry_source"]) == (2, "event")
    assert (row["fallback_used"], row["fallback_from"], row["fallback_reason"]) == (True, "gpt-x", "down")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.retry_count": 2}, (2, "attribute", None)),
        ({"llm.retry_attempt": "1"}, (1, "attribute", None)),
        ({"http.request.resend_count": 1}, (1, "http_children", None)),
        ({"gen_ai.fallback.triggered": True}, (None, None, True)),
        ({"gen_ai.fallback.from": "gpt-x"}, (None, None, True)),
        ({"gen_ai.fallback.to": "gpt-y"}, (None, None, True)),
    ],
)
def test_names_of_retries_and_fallbacks(attributes: dict[str, Any], expected: tuple[Any, ...]) -> None:
    row = row_of(attributes)

    assert (row["retry_count"], row["retry_source"], row["fallback_used"]) == expected


def test_first_token_event_tells_the_time_to_first_token() -> None:
    event = CapturedEvent("First Token Stream Event", {}, 1_500)

    assert row_of({"openinference.span.kind": "LLM"}, events=(event,))["time_to_first_token_ns"] == 500
    assert row_of({"openinference.span.kind": "LLM"}, events=(event[:2],))["time_to_first_token_ns"] is None


def test_first_token_of_langfuse_is_a_time_of_day() -> None:
    attributes = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.completion_start_time": '"1970-01-01T00:00:01.500Z"',
    }
    within: dict[str, Any] = {"start_ns": 1_000_000_000, "end_ns": 2_000_000_000}

    assert row_of(attributes, **within)["time_to_first_token_ns"] == 500_000_000
    assert row_of(attributes)["time_to_first_token_ns"] is None


@pytest.mark.parametrize(("name", "step", "source"), [("step 2", 2, "framework"), ("stepping", None, None)])
def test_ai_sdk_numbers_steps_by_span_name(name: str, step: int | None, source: str | None) -> None:
    row = row_of({"gen_ai.operation.name": "agent_step"}, scope_name="ai", name=name)

    assert (row["kind"], row["step"], row["step_source"]) == ("chain", step, source)


def test_cached_tokens_beyond_the_input_are_added_to_it() -> None:
    usage = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read.input_tokens": 8}

    assert row_of({**CHAT, **usage})["input_tokens"] == 10
    assert row_of({**CHAT, **usage, "gen_ai.usage.cache_write.input_tokens": 5})["input_tokens"] == 23


@pytest.mark.parametrize(
    "attributes",
    [
        {"metadata": '{"cohort": "eu"}'},
        {"metadata": "{'cohort': 'eu', 'ok': True}"},
        {"traceloop.association.properties.cohort": "eu"},
        {"langsmith.metadata.cohort": "eu"},
        {"langfuse.trace.metadata.cohort": '"eu"'},
        {"langfuse.trace.metadata.cohort": "eu"},
        {"ai.settings.context.cohort": "eu"},
        {"llm.release.cohort": "eu", "cohort": "us"},
        {"cohort": "[Scrubbed due to 'x']", "metadata": '{"cohort": "eu"}'},
    ],
)
def test_cohort_is_found_where_libraries_keep_it(attributes: dict[str, Any]) -> None:
    assert row_of(attributes)["cohort"] == "eu"


@pytest.mark.parametrize(("kind", "route"), [(2, "/v1/x"), (3, None)])
def test_path_is_a_route_of_server_spans_only(kind: int, route: str | None) -> None:
    assert row_of({"url.path": "/v1/x"}, kind=kind)["route"] == route


@pytest.mark.parametrize("tags", [["eu", "x"], "x,eu", '["eu"]'])
def test_configured_tags_are_cohorts(tags: object) -> None:
    span = {"tag.tags": tags}

    assert row_of(span)["cohort"] is None
    assert row_of(span, normaliser=Normaliser(Rules(cohort_tags={"eu": "eu"})))["cohort"] == "eu"


def test_only_configured_flags_are_variants() -> None:
    normaliser = Normaliser(Rules(feature_flags=frozenset({"model-release"})))
    other = {"feature_flag.key": "dark-mode", "feature_flag.result.variant": "on"}
    wanted = {"feature_flag.key": "model-release", "feature_flag.result.variant": "canary"}

    events = tuple(CapturedEvent("feature_flag.evaluation", flag) for flag in (other, wanted))

    assert row_of(other, events=events, normaliser=normaliser)["variant"] == "canary"
    assert row_of(other)["variant"] == "on"


def test_spans_of_one_shape_do_not_share_values() -> None:
    first = row_of({**CHAT, "user.id": "a"})
    second = row_of({**CHAT, "user.id": "b"})

    assert (first["user_id"], second["user_id"]) == ("a", "b")


def test_plans_are_made_again_when_there_are_too_many() -> None:
    for number in range(3_000):
        assert row_of({**CHAT, f"app.{number}": "x"})["attributes"] == {f"app.{number}": "x"}


def test_stream_of_logfire_is_the_message_at_its_end() -> None:
    asked = {**CHAT, "request_data": '{"model": "gpt-x"}', "gen_ai.response.model": "gpt-x"}
    message = {**asked, "duration": 1.5, "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 2}
    end_ns = 10_000_000_000

    request = row_of(asked, scope_name="logfire.openai", name="Chat Completion with {request_data[model]!r}")
    failed = row_of(asked, scope_name="logfire.openai", name="Chat Completion with 'gpt-x'", status_code=2)
    call = row_of(
        message,
        scope_name="logfire.openai",
        name="streaming response from {request_data[model]!r} took {duration:.2f}s",
        start_ns=end_ns,
        end_ns=end_ns,
    )

    assert (request["kind"], failed["kind"], call["kind"]) == ("other", "llm", "llm")
    assert (call["start_unix_ns"], call["duration_ns"]) == (8_500_000_000, 1_500_000_000)
    assert (call["model"], call["input_tokens"], call["output_tokens"]) == ("gpt-x", 7, 2)


@pytest.mark.parametrize("duration", [float("nan"), float("inf"), -1, 1e300, "1.5 s", [1], 11])
def test_duration_of_a_stream_that_is_none_leaves_the_spans_own_times(duration: object) -> None:
    row = row_of(
        {**CHAT, "request_data": "{}", "duration": duration},
        scope_name="logfire.openai",
        name="streaming response",
        start_ns=10_000_000_000,
        end_ns=10_000_000_000,
    )

    assert (row["start_unix_ns"], row["duration_ns"]) == (10_000_000_000, 0)


@pytest.mark.parametrize(("kind", "route"), [(1, "/v1/messages"), (2, "/v1/messages"), (3, None)])
def test_route_that_a_client_called_is_not_the_applications(kind: int, route: str | None) -> None:
    assert row_of({**CHAT, "http.route": "/v1/messages"}, kind=kind)["route"] == route


def test_agents_name_in_brackets_is_read() -> None:
    row = row_of({"a": 1}, scope_name="gcp.vertex.agent", name="agent_run [weather_agent]")

    assert (row["kind"], row["agent_name"]) == ("agent", "weather_agent")


@pytest.mark.parametrize("text", ['{"city":"Paris"}', '["Paris"]', "{'city':'Paris'}"])
@pytest.mark.parametrize("name", ["tool_arguments", "tool_response", "some.attribute"])
def test_documents_are_content_even_without_white_space(name: str, text: str) -> None:
    assert row_of({**CHAT, name: text})["attributes"] == {}
