"""Whether a model refused to answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tracecanary.collector.evaluators.judged import EvaluationResult, JudgedSpan

# Ours, from how assistants begin to decline. A refusal says so at once; further on, such phrases are mostly part of an
# answer.
_ACTS: Final = "help|assist|comply|fulfill?|provide|answer|discuss|support|engage|share|create|generate|do that"
PHRASES: Final = (
    r"i(?:'m| am) (?:sorry|afraid)[,.]? (?:but )?i (?:can(?:'t|not)|am (?:unable|not able)|won't)",
    r"i(?:'m| am) (?:sorry|afraid)[,.]? (?:but )?i(?:'m| am) (?:unable|not able|not allowed)",
    rf"i (?:can(?:'t|not)|won't|will not|must decline to|have to decline to) (?:{_ACTS})",
    rf"i(?:'m| am) (?:unable|not able|not allowed|not permitted) to (?:{_ACTS})",
    r"(?:sorry|apologies)[,.]? (?:but )?(?:i|we) (?:can(?:'t|not)|won't) ",
    r"as an ai(?: language)?(?: model| assistant)?,? i (?:can(?:'t|not)|am (?:unable|not able)|do not|don't|must)",
    r"i must (?:respectfully )?decline",
    r"(?:this|that|your) request (?:goes against|violates)",
)
_SEARCHED_CHARACTERS: Final = 300
_REFUSING_FINISHES: Final = frozenset({"content_filter", "refusal", "safety", "prohibited_content", "recitation"})
_APOSTROPHES: Final = str.maketrans({"\u2019": "'", "\u02bc": "'"})


class RefusalEvaluator:
    """Judges whether an answer is a refusal: passed means it is none.

    Told by the provider's own marks (the field `refusal`, finish reasons such as `content_filter`), else by English
    phrases in the first 300 characters. It finds refusals in no other language unless you give phrases, none that are
    polite evasions, and takes an answer for one that begins by quoting one: compare arms with it, don't count people.

    Args:
        phrases: Further regular expressions, matched in any case.
        name: Name of the evaluation.
        version: Change it with the phrases.
        kinds: Kinds of spans judged.
    """

    def __init__(
        self,
        *,
        phrases: Sequence[str] = (),
        name: str = "refusal",
        version: str = "1",
        kinds: tuple[str, ...] = ("llm",),
    ) -> None:
        self.name, self.version, self.kinds = name, version, kinds
        self._phrases = re.compile("|".join(f"(?:{phrase})" for phrase in (*PHRASES, *phrases)), re.IGNORECASE)

    def __call__(self, judged: JudgedSpan) -> EvaluationResult | None:
        """Judge the answer of a span."""
        if any(message.refusal for message in judged.output_messages):
            return EvaluationResult(passed=False, label="refusal")
        finishes = set((judged.finish_reason or "").split(","))
        if finishes & _REFUSING_FINISHES:
            return EvaluationResult(passed=False, label="content_filter")
        text = judged.output_text
        if text is None:
            # A call of a tool is an answer; no content at all is nothing to judge.
            return EvaluationResult(passed=True, label="answered") if judged.tool_calls else None
        is_refusal = self._phrases.search(text[:_SEARCHED_CHARACTERS].translate(_APOSTROPHES))
        return EvaluationResult(passed=not is_refusal, label="refusal" if is_refusal else "answered")
