"""The evaluators that come with tracecanary, on what they are given."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.collector import (
    EvaluationResult,
    Evaluator,
    JsonSchemaEvaluator,
    JudgedSpan,
    PiiEvaluator,
    RefusalEvaluator,
    ToolPermissionEvaluator,
)
from tracecanary.collector.evaluations import Evaluation
from tracecanary.collector.evaluators import Message, ToolCall
from tracecanary.collector.evaluators.bound import InvalidResultError, bound_evaluators, evaluations_of
from tracecanary.collector.evaluators.pii import has_check_digit
from tracecanary.schema import ConfigurationError

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}},
    "required": ["city"],
}


def answered(text: str | None = None, **given: Any) -> JudgedSpan:
    messages = () if text is None else (Message(role="assistant", text=text),)
    return JudgedSpan(trace_id="a" * 32, span_id="b" * 16, output_messages=messages, **given)


def verdict(result: EvaluationResult | None) -> tuple[bool | None, str | None] | None:
    return None if result is None else (result.passed, result.label)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"city": "Paris", "degrees": 21.5}', (True, "valid"), id="valid"),
        pytest.param('{"degrees": "warm"}', (False, "invalid"), id="invalid"),
        pytest.param("It is sunny in Paris.", (False, "not_json"), id="text"),
        pytest.param('```json\n{"city": "Paris"}\n```', (False, "not_json"), id="a-parser-would-fail-on-the-fence"),
        pytest.param("[" * 100_000, (False, "not_json"), id="nested-too-deep-to-parse"),
        pytest.param(None, None, id="nothing-to-judge"),
    ],
)
def test_output_is_judged_by_a_json_schema(text: str | None, expected: tuple[bool, str] | None) -> None:
    assert verdict(JsonSchemaEvaluator(SCHEMA)(answered(text))) == expected


def test_why_json_is_invalid_quotes_nothing_of_it() -> None:
    result = JsonSchemaEvaluator(SCHEMA)(answered('{"city": 4111111111111111}'))

    assert result is not None
    assert result.explanation == "$.city: type"


def test_a_schema_judges_only_the_spans_it_is_for() -> None:
    evaluator = JsonSchemaEvaluator(SCHEMA, name="weather", when=lambda judged: judged.agent == "weather")

    assert evaluator(answered("no JSON", agent="chat")) is None
    assert verdict(evaluator(answered("no JSON", agent="weather"))) == (False, "not_json")
    assert evaluator(answered("no JSON", agent="weather", is_error=True)) is None


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="JSON schema can't work"):
        JsonSchemaEvaluator({"type": "text"})


def test_a_reference_to_another_document_is_not_fetched() -> None:
    with pytest.raises(Exception, match=r"example\.com"):
        JsonSchemaEvaluator({"$ref": "https://example.com/schema.json"})(answered("{}"))


@pytest.mark.parametrize(
    ("agent", "tool", "expected"),
    [
        pytest.param("support", "lookup_order", (True, "allowed"), id="allowed"),
        pytest.param("support", "refund", (False, "forbidden"), id="forbidden"),
        pytest.param("research", "web_search", (True, "allowed"), id="pattern"),
        pytest.param("unknown", "lookup_order", (False, "forbidden"), id="agent-without-a-list-has-the-common-one"),
        pytest.param(None, "clock", (True, "allowed"), id="no-agent-has-the-common-list"),
    ],
)
def test_tool_calls_are_judged_by_the_list_of_their_agent(
    agent: str | None, tool: str, expected: tuple[bool, str]
) -> None:
    evaluator = ToolPermissionEvaluator({"support": ["lookup_order"], "research": ["web_*"], "*": ["clock"]})

    assert verdict(evaluator(answered(agent=agent, kind="tool", tool_calls=(ToolCall(name=tool),)))) == expected


def test_tool_calls_of_an_agent_without_any_list_stay_unscored() -> None:
    evaluator = ToolPermissionEvaluator({"support": ["lookup_order"]})

    assert evaluator(answered(agent=None, tool_calls=(ToolCall(name="refund"),))) is None
    assert evaluator(answered(agent="support")) is None


def test_one_forbidden_call_among_several_fails() -> None:
    calls = tuple(ToolCall(name=name) for name in ("lookup_order", "refund"))
    result = ToolPermissionEvaluator({"*": ["lookup_order"]})(answered(agent="support", tool_calls=calls))

    assert verdict(result) == (False, "forbidden")
    assert result is not None
    assert result.explanation == "support called refund"


@pytest.mark.parametrize("allowed", [{}, {"support": "refund"}, {"support": [1]}])
def test_an_allow_list_that_is_none_is_refused(allowed: Any) -> None:
    with pytest.raises(ConfigurationError):
        ToolPermissionEvaluator(allowed)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I cannot assist with this request.",
        "I cannot provide medical advice.",
        "As an AI language model, I don't have personal opinions.",
        "I'm unable to discuss that topic.",
        "Sorry, we can't do that.",
        "I must decline.",
        "Your request violates our policy.",
    ],
)
def test_refusal_is_found_in(text: str) -> None:
    assert verdict(RefusalEvaluator()(answered(text))) == (False, "refusal")


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny in Paris.",
        "You can't check in before 15:00, but I can help you store your luggage.",
        "I can help with that.",
        "Sorry for the delay! Your order ships today.",
        "The clerk told me: " + "x" * 300 + " I can't help with that.",
    ],
)
def test_refusal_is_not_found_in(text: str) -> None:
    assert verdict(RefusalEvaluator()(answered(text))) == (True, "answered")


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        pytest.param(answered("Fine.", finish_reason="content_filter"), (False, "content_filter"), id="filtered"),
        pytest.param(answered(finish_reason="stop,content_filter"), (False, "content_filter"), id="one-of-two-choices"),
        pytest.param(answered(tool_calls=(ToolCall(name="search"),)), (True, "answered"), id="tool-call-is-an-answer"),
        pytest.param(answered(), None, id="no-content-is-nothing-to-judge"),
        pytest.param(
            JudgedSpan(trace_id="a" * 32, span_id="b" * 16, output_messages=(Message(text="No.", refusal="No."),)),
            (False, "refusal"),
            id="said-by-the-provider",
        ),
    ],
)
def test_refusal_is_told_by_the_providers_marks(judged: JudgedSpan, expected: tuple[bool, str] | None) -> None:
    assert verdict(RefusalEvaluator()(judged)) == expected


def test_refusals_of_other_languages_need_their_phrases() -> None:
    text = "Dabei kann ich leider nicht helfen."

    assert verdict(RefusalEvaluator()(answered(text))) == (True, "answered")
    assert verdict(RefusalEvaluator(phrases=["kann ich leider nicht"])(answered(text))) == (False, "refusal")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Write to jane.doe@example.com.", (False, "email"), id="mail-address"),
        pytest.param("Call +1 (415) 555-2671.", (False, "phone"), id="phone-number"),
        pytest.param("Card 4111 1111 1111 1111, mail a@example.com", (False, "credit_card,email"), id="several"),
        pytest.param("Card 4111 1111 1111 1112", (True, "none"), id="card-number-with-a-wrong-check-digit"),
        pytest.param("SSN 536-22-1234", (False, "ssn"), id="social-security-number"),
        pytest.param("It is sunny in Paris, 94105, at 10.0.0.1.", (True, "none"), id="not-by-default"),
        pytest.param(None, None, id="nothing-to-judge"),
    ],
)
def test_personal_data_is_found_by_its_looks(text: str | None, expected: tuple[bool, str] | None) -> None:
    assert verdict(PiiEvaluator()(answered(text))) == expected


@pytest.mark.parametrize("place", [0, 9_790, 9_801, 9_995, 10_000, 19_600, 25_000])
def test_personal_data_is_found_once_anywhere_in_a_long_answer(place: int) -> None:
    text = "x " * (place // 2) + "jane.doe@example.com " + "y " * 5_000

    result = PiiEvaluator()(answered(text))

    assert result is not None
    assert (result.score, result.label) == (1, "email")


def test_what_counts_as_personal_can_be_said() -> None:
    assert verdict(PiiEvaluator(entities=["IP_ADDRESS"])(answered("a@example.com at 10.0.0.1"))) == (
        False,
        "ip_address",
    )
    with pytest.raises(ConfigurationError, match="IP_ADDRESS"):
        PiiEvaluator(entities=["SHOE_SIZE"])


@pytest.mark.parametrize(
    ("number", "is_right"),
    # The first is ISO/IEC 7812's own example of the formula as Wikipedia gives it; the others are test cards.
    [("17893729974", True), ("4242 4242 4242 4242", True), ("378282246310005", True), ("4242 4242 4242 4243", False)],
)
def test_check_digit_of_a_card(number: str, is_right: bool) -> None:
    assert has_check_digit(number) is is_right


NAMED = Evaluator(judge=lambda _: None, name="tone", version="3", source="llm")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(None, [], id="nothing"),
        pytest.param(True, [{"passed": True}], id="boolean"),
        pytest.param(0.5, [{"score": 0.5}], id="score"),
        pytest.param(2, [{"score": 2.0}], id="whole-score"),
        pytest.param("polite", [{"label": "polite"}], id="label"),
        pytest.param(
            EvaluationResult(score=True, label="fine", explanation="because", version="4"),
            [{"passed": True, "score": 1.0, "label": "fine", "explanation": "because", "version": "4"}],
            id="result",
        ),
        pytest.param(
            [EvaluationResult(name="a", passed=True), None, EvaluationResult(name="b", passed=False)],
            [{"name": "a", "passed": True}, {"name": "b", "passed": False}],
            id="several",
        ),
    ],
)
def test_answer_of_an_evaluator_is_an_evaluation(said: Any, expected: list[dict[str, Any]]) -> None:
    known = {"name": "tone", "version": "3", "source": "llm"}

    assert evaluations_of(said, NAMED) == [Evaluation(**{**known, **one}) for one in expected]


@pytest.mark.parametrize(
    "said",
    [float("nan"), float("inf"), "", "x" * 129, object(), {"passed": True}, EvaluationResult()],
    ids=["nan", "infinite", "empty", "text", "object", "mapping", "says-nothing"],
)
def test_answer_that_is_no_verdict_is_refused(said: Any) -> None:
    with pytest.raises(InvalidResultError):
        evaluations_of(said, NAMED)


def test_any_callable_is_an_evaluator() -> None:
    def polite(judged: JudgedSpan) -> bool:
        return "please" in (judged.output_text or "")

    class Tone:
        name = "tone"
        version = "2"
        kinds = ("agent",)
        sample_rate = 0.5

        def __call__(self, judged: JudgedSpan) -> float:
            return 1.0

    first, second = bound_evaluators([polite, Tone()])

    assert (first.name, first.version, first.kinds, first.sample_rate) == ("polite", "1", ("llm",), None)
    assert (second.name, second.version, second.kinds, second.sample_rate) == ("tone", "2", ("agent",), 0.5)


def test_every_problem_of_evaluators_is_named() -> None:
    async def wait(_: object) -> bool:
        return True

    given: list[Any] = [
        lambda _: True,
        "refusal",
        Evaluator(judge=bool, name="a", kinds=("lllm",), sample_rate=2, time_limit_s=0, source="me"),  # type: ignore[arg-type]
        Evaluator(judge=bool, name="b"),
        Evaluator(judge=bool, name="b"),
        Evaluator(judge=wait, name="waiting"),  # type: ignore[arg-type]
    ]

    with pytest.raises(ConfigurationError) as caught:
        bound_evaluators(given)

    text = str(caught.value)
    for problem in (
        "<lambda>",
        "'refusal' can't be called",
        "kinds of a",
        "sample_rate of a",
        "time_limit_s of a",
        "source of a",
        "two evaluators are called 'b'",
        "waiting is async, but must be a plain function",
    ):
        assert problem in text


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        pytest.param("jsonschema", lambda: JsonSchemaEvaluator(SCHEMA), "evaluators", id="json-schema"),
        pytest.param("datafog", PiiEvaluator, "pii", id="pii"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, make: Callable[[], object], extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigurationError, match=rf"pip install 'tracecanary\[{extra}\]'"):
        make()


@given(st.text())
def test_built_in_evaluators_judge_any_text(text: str) -> None:
    judged = answered(text, tool_calls=(ToolCall(name=text),))
    for evaluator in (
        JsonSchemaEvaluator(SCHEMA),
        RefusalEvaluator(),
        PiiEvaluator(),
        ToolPermissionEvaluator({"*": ["a"]}),
    ):
        result = evaluator(judged)
        assert result is None or result.passed in (True, False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_json_is_never_called_none(document: Any) -> None:
    result = JsonSchemaEvaluator(True)(answered(json.dumps(document)))

    assert verdict(result) == (True, "valid")


@pytest.mark.parametrize(
    ("verdict", "score", "passed"),
    [
        pytest.param(np.float32(0.5), 0.5, None, id="score"),
        pytest.param(np.int64(3), 3.0, None, id="count"),
        pytest.param(np.float64(0.7) > np.float64(0.5), None, True, id="comparison"),
        pytest.param(EvaluationResult(score=np.float32(0.5), passed=np.bool_(False)), 0.5, False, id="result"),  # type: ignore[arg-type]
    ],
)
def test_scalars_of_numpy_are_verdicts(verdict: object, score: float | None, passed: bool | None) -> None:
    (evaluation,) = evaluations_of(verdict, Evaluator(judge=bool, name="mine"))

    assert (evaluation.score, evaluation.passed) == (score, passed)
