from __future__ import annotations

from typing import Any

import pytest

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.normalise import Normaliser, sampling_probability
from tracecanary.schema import SPAN_COLUMNS

CURRENT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
_SHARED = Normaliser()
OLD = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai"}


def row_of(
    attributes: dict[str, Any] | None = None, *, normaliser: Normaliser | None = None, **values: Any
) -> dict[str, Any]:
    span = CapturedSpan(
        trace_id=1,
        span_id=2,
        parent_span_id=None,
        name="chat",
        kind=3,
        start_ns=1_000,
        end_ns=3_000,
        status_code=0,
        attributes=attributes or {},
        events=(),
        resource={},
        scope_name="",
        scope_version=None,
        is_sampled=True,
        trace_state="",
        dropped_attributes=0,
    )._replace(**values)
    row = dict(zip((column.name for column in SPAN_COLUMNS), (normaliser or _SHARED).row(span), strict=True))
    return {**row, "attributes": dict(row["attributes"])}


@pytest.mark.parametrize(
    ("attributes", "convention", "provider"),
    [
        pytest.param(CURRENT, "otel_genai", "openai", id="current"),
        pytest.param(OLD, "otel_genai_1_36", "openai", id="old"),
        pytest.param({**OLD, "gen_ai.provider.name": "azure"}, "otel_genai", "azure", id="both"),
        pytest.param({"gen_ai.operation.name": "chat"}, "otel_genai", None, id="no provider"),
        pytest.param({"http.request.method": "GET"}, None, None, id="no model call"),
    ],
)
def test_convention_and_provider_are_recognised(
    attributes: dict[str, Any], convention: str | None, provider: str | None
) -> None:
    row = row_of(attributes)

    assert (row["convention"], row["provider"]) == (convention, provider)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("chat", "llm"),
        ("text_completion", "llm"),
        ("generate_content", "llm"),
        ("embeddings", "embedding"),
        ("execute_tool", "tool"),
        ("invoke_agent", "agent"),
        ("invoke_workflow", "chain"),
        ("retrieval", "retriever"),
        ("something_new", "other"),
        (7, "other"),
    ],
)
def test_kind_follows_the_operation(operation: object, kind: str) -> None:
    assert row_of({**CURRENT, "gen_ai.operation.name": operation})["kind"] == kind


def test_two_names_for_one_number_are_never_added() -> None:
    row = row_of(
        {
            **CURRENT,
            "gen_ai.usage.prompt_tokens": 11,
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.completion_tokens": 3,
            "gen_ai.usage.cache_creation.input_tokens": 5,
            "gen_ai.usage.cache_write.input_tokens": 4,
        }
    )

    assert (row["input_tokens"], row["output_tokens"], row["cache_write_tokens"]) == (12, 3, 4)
    assert row["attributes"] == {}


def test_unreadable_first_name_leaves_the_value_to_the_second() -> None:
    row = row_of({**CURRENT, "gen_ai.usage.input_tokens": "many", "gen_ai.usage.prompt_tokens": 11})

    assert row["input_tokens"] == 11


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (12, 12),
        ("12", 12),
        (12.0, 12),
        ("12.0", 12),
        (10**13, 10**13),
        (str(10**13), 10**13),
        (10**13 + 1, None),
        ("9007199254740993", None),
        (0, 0),
        (-1, None),
        (1.5, None),
        (True, None),
        ("", None),
        ("twelve", None),
        (float("nan"), None),
        (float("inf"), None),
        (2**63, None),
        (str(2**63), None),
        (None, None),
        ([12], None),
    ],
)
def test_tokens_are_read_as_real_instrumentations_send_them(value: object, tokens: int | None) -> None:
    assert row_of({**CURRENT, "gen_ai.usage.input_tokens": value})["input_tokens"] == tokens


@pytest.mark.parametrize(
    ("cost", "nano_usd"),
    [(0.000123, 123_000), ("0.25", 250_000_000), (0, 0), (-0.1, None), (1e10, None), ("free", None), (True, None)],
)
def test_cost_is_integer_nano_usd(cost: object, nano_usd: int | None) -> None:
    assert row_of({**CURRENT, "gen_ai.cost.total": cost})["reported_cost_nano_usd"] == nano_usd


@pytest.mark.parametrize(("seconds", "ns"), [(0.0321, 32_100_000), ("1", 1_000_000_000), (-1, None)])
def test_time_to_first_token_is_integer_ns(seconds: object, ns: int | None) -> None:
    assert row_of({**CURRENT, "gen_ai.response.time_to_first_chunk": seconds})["time_to_first_token_ns"] == ns


@pytest.mark.parametrize(
    ("reasons", "normalised"),
    [
        (["stop"], "stop"),
        (("tool_call", "stop", "tool_use"), "tool_calls,stop"),
        ('["end_turn"]', "stop"),
        ("[broken", "[broken"),
        ("FinishReason.STOP", "stop"),
        ("content-filter", "content_filter"),
        ([None, "", 5], None),
        (b"stop", None),
        ("", None),
        (5, None),
    ],
)
def test_finish_reasons_are_normalised(reasons: object, normalised: str | None) -> None:
    assert row_of({**CURRENT, "gen_ai.response.finish_reasons": reasons})["finish_reason"] == normalised


@pytest.mark.parametrize(
    ("request_model", "response_model", "model"),
    [
        pytest.param("gpt-x", "gpt-x-2026-11-01", "gpt-x", id="as asked for"),
        pytest.param("gpt-x", None, "gpt-x", id="failed call"),
        pytest.param("gpt-x-2026-11-01", "gpt-x-2026-11-01", "gpt-x-2026-11-01", id="asked for with its date"),
        pytest.param(None, "gpt-x-2026-11-01", "gpt-x", id="dated answer"),
        pytest.param(None, "gpt-x-20261101", "gpt-x", id="dated answer without dashes"),
        pytest.param(None, "gemini-x@001", "gemini-x", id="versioned answer"),
        pytest.param(None, "gpt-x", "gpt-x", id="plain answer"),
        pytest.param(None, None, None, id="unknown"),
    ],
)
def test_call_belongs_to_the_model_it_asked_for(
    request_model: str | None, response_model: str | None, model: str | None
) -> None:
    models = {"gen_ai.request.model": request_model, "gen_ai.response.model": response_model}

    assert row_of({**CURRENT, **models}, status_code=2)["model"] == model


def test_content_and_long_text_are_dropped_and_the_rest_is_kept() -> None:
    row = row_of(
        {
            **CURRENT,
            "gen_ai.input.messages": "secret",
            "gen_ai.output.messages": ["secret"],
            "gen_ai.system_instructions": "secret",
            "gen_ai.tool.call.arguments": '{"city": "secret"}',
            "gen_ai.tool.call.result": "secret",
            "gen_ai.prompt.0.content": "secret",
            "gen_ai.completion.0.content": "secret",
            "llm.input_messages.0.message.content": "secret",
            "input.value": "secret",
            "http.request.header.authorization": "secret",
            "url.full": "https://x/?key=secret",
            "long": "secret" * 100,
            "unknown.question": "a secret of the user",
            "lines": "secret\nsecret",
            "longest": "x" * 128,
            "too.long": "x" * 129,
            "server.port": 443,
        }
    )

    assert row["attributes"] == {"longest": "x" * 128, "server.port": "443"}
    assert "secret" not in str(row)


def test_equal_tool_arguments_have_equal_hashes() -> None:
    first, second, other = (
        row_of({**CURRENT, "gen_ai.tool.call.arguments": arguments})["tool_arguments_hash"]
        for arguments in ('{"a": 1}', '{"a": 1}', '{"a": 2}')
    )

    assert first == second != other
    assert len(first) == 16


@pytest.mark.parametrize(
    ("attributes", "version"),
    [
        ({"gen_ai.tool.version": "2.1", "tool.version": "2"}, "2.1"),
        ({"gen_ai.data_source.id": "faq", "gen_ai.data_source.version": "7"}, "7"),
        ({"gen_ai.data_source.id": "faq", "db.collection.name": "faq_2026"}, "faq"),
        ({"db.collection.name": "faq_2026"}, "faq_2026"),
        ({"gen_ai.tool.name": "search"}, None),
    ],
)
def test_version_of_a_tool_or_retriever_is_kept(attributes: dict[str, str], version: str | None) -> None:
    assert row_of({**CURRENT, **attributes})["tool_version"] == version


@pytest.mark.parametrize(
    ("trace_state", "probability"),
    [
        ("ot=th:0", 1.0),
        ("ot=th:8", 0.5),
        ("ot=th:c", 0.25),
        ("vendor=1,ot=rv:00000000000000;th:fd70a3d70a3d71", 0.01),
        ("vendor=th:8", None),
        ("ot=rv:1", None),
        ("ot=th:xyz", None),
        ("", None),
    ],
)
def test_sampling_probability_comes_from_the_threshold(trace_state: str, probability: float | None) -> None:
    assert sampling_probability(trace_state) == pytest.approx(probability)
    assert row_of(trace_state=trace_state)["sampling_probability"] == pytest.approx(probability)


def test_clock_that_was_set_back_gives_no_negative_duration() -> None:
    assert row_of(start_ns=3_000, end_ns=1_000)["duration_ns"] == 0


@pytest.mark.parametrize(("kind", "name"), [(0, "unspecified"), (1, "internal"), (5, "consumer"), (-1, "unspecified")])
def test_span_kinds_have_names_and_unknown_ones_are_unspecified(kind: int, name: str) -> None:
    assert row_of(kind=kind)["otel_kind"] == name
    assert row_of(kind=99)["otel_kind"] == "unspecified"


@pytest.mark.parametrize(("code", "status"), [(0, "unset"), (1, "ok"), (2, "error"), (3, "unset"), (-1, "unset")])
def test_status_codes_have_names(code: int, status: str) -> None:
    assert row_of(status_code=code)["status"] == status


def test_error_type_attribute_precedes_the_exception_event() -> None:
    events: tuple[tuple[str, dict[str, str]], ...] = (
        ("other", {}),
        ("exception", {"exception.type": "ValueError", "exception.message": "secret"}),
    )

    assert row_of(events=events)["error_type"] == "ValueError"
    assert row_of({"error.type": "timeout"}, events=events)["error_type"] == "timeout"


def test_sources_of_steps_and_retries_are_named() -> None:
    row = row_of({"agent.trajectory.step": "3", "gen_ai.retry.count": 2, "gen_ai.fallback.used": "true"})

    assert (row["step"], row["step_source"]) == (3, "attribute")
    assert (row["retry_count"], row["retry_source"], row["fallback_used"]) == (2, "attribute", True)


def test_release_and_environment_come_from_the_resource() -> None:
    row = row_of(resource={"service.name": "shop", "service.version": "1.4.2", "deployment.environment": "prod"})

    assert (row["service_name"], row["release"], row["environment"]) == ("shop", "1.4.2", "prod")
