"""What evaluators are given: the content of spans as real libraries record it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.collector.captured import CapturedEvent, CapturedSpan
from tracecanary.collector.evaluators import JudgedSpan, ToolCall
from tracecanary.collector.evaluators.content import judged_span
from tracecanary.collector.evaluators.messages import messages_of
from tracecanary.collector.ingest import decode_otlp_file
from tracecanary.collector.normalise import default_normaliser

CAPTURES = Path(__file__).parent / "testdata" / "captures"
ANSWER = "It is sunny in Paris."


def judged_of(capture: str, kind: str = "llm") -> list[JudgedSpan]:
    spans = decode_otlp_file((CAPTURES / f"{capture}.otlp.pb").read_bytes())
    judged = [judged_span(span, default_normaliser()) for span in sorted(spans, key=lambda span: span.start_ns)]
    return [one for one in judged if one.kind == kind]


def span(*events: CapturedEvent, **attributes: Any) -> CapturedSpan:
    return CapturedSpan(
        trace_id=1,
        span_id=2,
        parent_span_id=None,
        name="chat",
        kind=3,
        start_ns=1,
        end_ns=2,
        status_code=0,
        attributes={"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"} | attributes,
        events=events,
        resource={},
        scope_name="app",
        scope_version="1",
        is_sampled=True,
        trace_state="",
        dropped_attributes=0,
    )


@pytest.mark.parametrize(
    ("capture", "texts", "calls"),
    [
        pytest.param("openinference-openai", 4, 1, id="openinference"),
        pytest.param("openinference-langchain", 5, 1, id="openinference-langchain"),
        pytest.param("openinference-openai-agents", 1, 2, id="openinference-openai-agents"),
        pytest.param("traceai-langchain", 5, 1, id="traceai"),
        pytest.param("traceloop-openai", 4, 1, id="traceloop"),
        pytest.param("pydantic-ai-duplicate-export", 6, 2, id="pydantic-ai"),
        pytest.param("vercel-ai-sdk-legacy", 3, 1, id="vercel"),
        pytest.param("litellm-otel-request-span", 3, 1, id="litellm"),
        pytest.param("strands", 1, 1, id="strands"),
        pytest.param("openai-v2-default", 0, 0, id="no-content-recorded"),
    ],
)
def test_answers_and_tool_calls_of_captured_model_calls_are_found(capture: str, texts: int, calls: int) -> None:
    judged = judged_of(capture)

    said = [one.output_text for one in judged if one.output_text is not None]
    assert said == [ANSWER] * texts
    assert sum(len(one.tool_calls) for one in judged) == calls
    for one in judged:
        assert {call.name for call in one.tool_calls} <= {"get_weather", "transfer_to_weather_specialist"}


@pytest.mark.parametrize(
    "capture", ["openinference-openai", "traceai-langchain", "traceloop-openai", "pydantic-ai-duplicate-export"]
)
def test_question_of_a_captured_model_call_is_found(capture: str) -> None:
    first = next(one for one in judged_of(capture) if one.tool_calls)

    assert [(message.role, message.text) for message in first.input_messages] == [("user", "Weather in Paris?")]


@pytest.mark.parametrize(
    ("capture", "arguments"),
    [
        pytest.param("openinference-openai-agents", '{"city": "Paris"}', id="openinference"),
        pytest.param("pydantic-ai-duplicate-export", '{"city":"Paris"}', id="otel"),
        pytest.param("vercel-ai-sdk-legacy", '{"city":"Paris"}', id="vercel"),
        pytest.param("strands", '{"city": "Paris"}', id="in-an-event"),
    ],
)
def test_a_tools_span_is_its_call(capture: str, arguments: str) -> None:
    judged = judged_of(capture, "tool")[0]

    assert judged.tool_calls == (ToolCall(name="get_weather", arguments=arguments),)
    assert "sunny" in (judged.output_text or "")


@pytest.mark.parametrize(
    ("document", "text", "calls"),
    [
        pytest.param({"role": "assistant", "content": "Hi."}, "Hi.", [], id="openai"),
        pytest.param(
            {"choices": [{"message": {"role": "assistant", "content": None, "refusal": "No."}}]},
            "No.",
            [],
            id="refusal",
        ),
        pytest.param(
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "1", "name": "search", "input": {"q": "x"}},
                ],
            },
            "Let me look.",
            [ToolCall(name="search", arguments={"q": "x"})],
            id="anthropic",
        ),
        pytest.param(
            {
                "output": [
                    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]},
                    {"type": "function_call", "name": "search", "arguments": "{}"},
                ]
            },
            "Hi.",
            [ToolCall(name="search", arguments="{}")],
            id="openai-responses",
        ),
        pytest.param(
            {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi."}]}}]}, "Hi.", [], id="gemini"
        ),
        pytest.param(
            [{"role": "assistant", "parts": [{"type": "tool_call", "name": "search", "arguments": {"q": 1}}]}],
            "",
            [ToolCall(name="search", arguments={"q": 1})],
            id="otel-parts",
        ),
        pytest.param("Hi.", "Hi.", [], id="text"),
    ],
)
def test_messages_are_read_from(document: Any, text: str, calls: list[ToolCall]) -> None:
    messages = messages_of(document)

    assert "\n".join(message.text for message in messages if message.text) == text
    assert [call for message in messages for call in message.tool_calls] == calls


def test_structured_output_is_the_answer_as_it_was_given() -> None:
    answer = '{"city": "Paris", "text": "sunny"}'
    messages = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": answer}]}])

    assert judged_span(span(**{"gen_ai.output.messages": messages}), default_normaliser()).output_text == answer
    assert judged_span(span(**{"ai.response.object": answer}), default_normaliser()).output_text == answer
    assert judged_span(span(**{"output.value": '{"city": "Paris"}'}), default_normaliser()).output_text == (
        '{"city": "Paris"}'
    )


def test_content_in_events_is_found() -> None:
    details = CapturedEvent(
        "gen_ai.client.inference.operation.details",
        {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "Hi."}]}]'},
    )
    choice = CapturedEvent("gen_ai.choice", {"index": 0, "message": '{"role": "assistant", "content": "Hi."}'})

    for event in (details, choice):
        assert judged_span(span(event), default_normaliser()).output_text == "Hi."


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["message", "messages", "content", "parts", "text", "tool_calls", "function", "name", "role", "type"]
            )
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_no_document_is_too_odd(document: Any) -> None:
    for message in messages_of(document):
        assert isinstance(message.text, str)
        assert all(isinstance(call.name, str) for call in message.tool_calls)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "gen_ai.output.messages",
                "gen_ai.completion.0.content",
                "gen_ai.completion.0",
                "llm.output_messages.0.message.content",
                "output.value",
                "ai.response.text",
                "ai.response.toolCalls",
                "gen_ai.completion.0.tool_calls.0.name",
            ]
        ),
        DOCUMENTS | st.text(),
    )
)
def test_no_span_is_too_odd(attributes: dict[str, Any]) -> None:
    judged = judged_span(span(**attributes), default_normaliser())

    assert judged.output_text is None or isinstance(judged.output_text, str)
