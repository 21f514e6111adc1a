"""What arrives in one request, and how it is decoded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.compression import decompress
from tracecanary.collector.evaluation_logs import logged_evaluations
from tracecanary.collector.evaluations import EvaluationRow
from tracecanary.collector.otlp import spans_from_json, spans_from_protobuf
from tracecanary.collector.otlp_logs import events_from_json, events_from_protobuf
from tracecanary.collector.passing import EvaluatorRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a request brought. `rejected` counts, by reason, what can't be stored.

    Of its spans, `column_spans` are in the columns that it shares with other requests, see `intake_groups`.
    """

    spans: Sequence[CapturedSpan] = ()
    column_spans: int = 0
    evaluations: Sequence[EvaluationRow] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)


class IntakeRequest(Protocol):
    """Anything that rows can be made of."""

    @property
    def size_bytes(self) -> int:
        """Bytes that it holds while it waits."""
        ...

    def contents(self) -> bytes:
        """Return its body, decompressed.

        Raises:
            MalformedInputError: The compressed body is damaged.
            TooLargeError: It is too large when it is decompressed.
        """
        ...

    def decode(self, contents: bytes) -> Decoded:
        """Return what it brought.

        Raises:
            MalformedInputError: It can't be decoded.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpBody:
    """A body as it came: JSON or else protobuf, in one of the encodings of `compression`."""

    contents: bytes
    is_json: bool
    encoding: str = "identity"
    max_decompressed_bytes: int

    def decompressed(self) -> bytes:
        """Return the contents without their encoding."""
        return decompress(self.contents, self.encoding, max_bytes=self.max_decompressed_bytes)


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """An `ExportTraceServiceRequest`."""

    body: OtlpBody

    @property
    def is_protobuf(self) -> bool:
        """Whether the body is protobuf, and not JSON."""
        return not self.body.is_json

    @property
    def size_bytes(self) -> int:
        """Bytes that it holds while it waits."""
        return len(self.body.contents)

    def contents(self) -> bytes:
        """Return its body, decompressed."""
        return self.body.decompressed()

    def decode(self, contents: bytes) -> Decoded:
        """Return its spans."""
        spans = spans_from_json(contents) if self.body.is_json else spans_from_protobuf(contents)
        valid = [span for span in spans if span.is_valid]
        invalid = len(spans) - len(valid)
        rejected = {"spans without a valid trace id, span id or time": invalid} if invalid else {}
        return Decoded(spans=valid, rejected=rejected)


@dataclass(frozen=True, slots=True)
class LogRequest:
    """An `ExportLogsServiceRequest`; of its records, evaluations are kept and others are left out."""

    body: OtlpBody
    rules: EvaluatorRules
    received_ns: int

    @property
    def size_bytes(self) -> int:
        """Bytes that it holds while it waits."""
        return len(self.body.contents)

    def contents(self) -> bytes:
        """Return its body, decompressed."""
        return self.body.decompressed()

    def decode(self, contents: bytes) -> Decoded:
        """Return its evaluations."""
        events = events_from_json(contents) if self.body.is_json else events_from_protobuf(contents)
        rows: list[EvaluationRow] = []
        rejected: dict[str, int] = {}
        for place, event in enumerate(events):
            # Each a little later than the one before: of the same key, the last one wins.
            found = logged_evaluations(event, self.rules, received_ns=self.received_ns + place)
            if isinstance(found, str):
                rejected[found] = rejected.get(found, 0) + 1
            else:
                rows += found
        return Decoded(evaluations=rows, rejected=rejected)


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """Evaluations that were checked already."""

    rows: Sequence[EvaluationRow]
    size_bytes: int

    def contents(self) -> bytes:
        """Return nothing: there is nothing left to decode."""
        return b""

    def decode(self, contents: bytes) -> Decoded:  # noqa: ARG002
        """Return its evaluations."""
        return Decoded(evaluations=self.rows)
