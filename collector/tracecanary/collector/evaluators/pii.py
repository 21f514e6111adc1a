"""Whether an answer holds personal data."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from tracecanary.collector.evaluators.judged import EvaluationResult, JudgedSpan
from tracecanary.schema import ConfigurationError

DEFAULT_ENTITIES = ("EMAIL", "PHONE", "SSN", "CREDIT_CARD")
KNOWN_ENTITIES = (*DEFAULT_ENTITIES, "IP_ADDRESS", "DATE", "ZIP_CODE")

# The library searches 1,000 characters in 1 ms; no address or number is longer than the overlap.
_PIECE, _OVERLAP = 10_000, 200


class PiiEvaluator:
    """Judges whether an answer holds personal data, by the patterns of `datafog`: passed means none was found.

    Patterns know mail addresses, phone, social security and card numbers by their looks: no names, no streets, and a
    long order number may pass for a phone number. Card numbers must have a right check digit. Nothing is downloaded,
    and nothing leaves the process. The score is how many were found; which, stays here.

    Args:
        entities: What counts, of EMAIL, PHONE, SSN, CREDIT_CARD, IP_ADDRESS, DATE, ZIP_CODE.
        name: Name of the evaluation.
        version: Change it with the entities.
        kinds: Kinds of spans judged.

    Raises:
        ConfigurationError: An entity is unknown, or `datafog` is not installed.
    """

    def __init__(
        self,
        *,
        entities: Collection[str] = DEFAULT_ENTITIES,
        name: str = "pii",
        version: str = "1",
        kinds: tuple[str, ...] = ("llm",),
    ) -> None:
        unknown = [entity for entity in entities if entity not in KNOWN_ENTITIES]
        if unknown or not entities:
            raise ConfigurationError(
                [f"entities are {list(entities)!r}, but must be some of {', '.join(KNOWN_ENTITIES)}"]
            )
        self.name, self.version, self.kinds = name, version, kinds
        self._entities = list(entities)
        self._scan = _scanner()

    def __call__(self, judged: JudgedSpan) -> EvaluationResult | None:
        """Judge the answer of a span."""
        text = judged.output_text
        if text is None:
            return None
        found = self._found(text)
        label = ",".join(sorted({kind.lower() for kind in found})) or "none"
        return EvaluationResult(passed=not found, score=len(found), label=label)

    def _found(self, text: str) -> list[str]:
        """Return the kind of each entity in `text`."""
        found: list[str] = []
        starts: set[int] = set()
        ends: set[int] = set()
        # In pieces that overlap: one search of a regular expression keeps every other thread waiting.
        for offset in range(0, max(len(text) - _OVERLAP, 1), _PIECE - _OVERLAP):
            piece = text[offset : offset + _PIECE]
            for entity in self._scan(piece, engine="regex", entity_types=self._entities).entities:
                start, end = offset + entity.start, offset + entity.end
                # What a piece's border cuts in two is found whole in the other piece.
                is_known = start in starts or end in ends
                starts.add(start)
                ends.add(end)
                if not is_known and (entity.type != "CREDIT_CARD" or has_check_digit(entity.text)):
                    found.append(entity.type)
        return found


def has_check_digit(number: str) -> bool:
    """Tell whether the last digit of a card number is right.

    Source: ISO/IEC 7812-1, annex B (Luhn).
    """
    digits = [int(digit) for digit in number if digit.isdecimal()]
    doubled = [digit * 2 for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(digit // 10 + digit % 10 for digit in doubled)) % 10 == 0


def _scanner() -> Callable[..., Any]:
    try:
        from datafog import scan
    except ImportError as error:
        raise ConfigurationError(["PiiEvaluator needs datafog: pip install 'tracecanary[pii]'"]) from error
    scanner: Callable[..., Any] = scan
    return scanner
