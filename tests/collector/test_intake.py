"""Storing what a server receives, whatever it is."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracecanary.collector.compression import decompress
from tracecanary.collector.config import IntakeSettings
from tracecanary.collector.intake import Intake
from tracecanary.collector.intake_requests import OtlpBody, TraceRequest
from tracecanary.collector.rules import Rules
from tracecanary.schema import LakeError, MalformedInputError

DEADLINE_S = 10.0
SPAN = b'{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "chat"}'


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    intake = Intake(tmp_path, IntakeSettings(), Rules())
    yield intake
    intake.close()


def request(encoding: str) -> TraceRequest:
    contents = b'{"resourceSpans": [{"scopeSpans": [{"spans": [%s]}]}]}' % SPAN
    return TraceRequest(OtlpBody(contents=contents, is_json=True, encoding=encoding, max_decompressed_bytes=10_000))


def test_a_request_that_nobody_expected_ends_alone(intake: Intake) -> None:
    unexpected = intake.submit(request("br"))  # an encoding that senders are refused before they come this far

    with pytest.raises(LakeError, match="KeyError while storing"):
        unexpected.result(DEADLINE_S)

    assert intake.submit(request("identity")).result(DEADLINE_S).spans == 1


def test_a_body_of_endless_empty_members_is_refused() -> None:
    member = gzip.compress(b"")

    assert decompress(100 * member, "gzip", max_bytes=1_000) == b""
    with pytest.raises(MalformedInputError, match="more than 100 members"):
        decompress(400_000 * member, "gzip", max_bytes=1_000)
