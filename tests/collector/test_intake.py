"""Storing what a server receives, whatever it is."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracecanary.collector.compression import decompress
from tracecanary.collector.config import IntakeSettings, intake_settings
from tracecanary.collector.intake import Intake
from tracecanary.collector.intake_requests import Decoded, OtlpBody, TraceRequest
from tracecanary.collector.rules import Rules
from tracecanary.schema import ConfigurationError, LakeError, MalformedInputError, OverloadedError

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


class StalledRequest:
    """Keeps the thread that stores as busy as a disk that does not answer."""

    size_bytes = 100

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def contents(self) -> bytes:
        assert self.goes_on.wait(DEADLINE_S)
        return b""

    def decode(self, contents: bytes) -> Decoded:
        return Decoded()


def test_while_the_disk_stalls_senders_are_told_to_come_back_and_no_more_is_held(tmp_path: Path) -> None:
    intake = Intake(tmp_path, IntakeSettings(max_waiting_bytes=1_000), Rules())
    stalled, waiting = StalledRequest(), [request("identity") for _ in range(20)]
    intake.reserve(stalled.size_bytes)
    acknowledgements = [intake.submit(stalled)]
    refused = 0

    for one in waiting:
        if intake.reserved_bytes + one.size_bytes > 1_000:
            with pytest.raises(OverloadedError, match="Send again in 1 s"):
                intake.reserve(one.size_bytes)
            refused += 1
        else:
            intake.reserve(one.size_bytes)
            acknowledgements.append(intake.submit(one))
    held = intake.reserved_bytes
    stalled.goes_on.set()

    assert refused == 20 - (1_000 - 100) // waiting[0].size_bytes
    assert held <= 1_000
    assert sum(one.result(DEADLINE_S).spans for one in acknowledgements) == 20 - refused
    intake.close()


def test_a_body_of_endless_empty_members_is_refused() -> None:
    member = gzip.compress(b"")

    assert decompress(100 * member, "gzip", max_bytes=1_000) == b""
    with pytest.raises(MalformedInputError, match="more than 100 members"):
        decompress(400_000 * member, "gzip", max_bytes=1_000)


@pytest.mark.parametrize(("said", "is_accelerated"), [("", True), ("true", True), ("false", False)])
def test_the_environment_says_whether_compiled_code_reads_requests(
    said: str, is_accelerated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACECANARY_ACCELERATED", said)

    assert intake_settings().is_accelerated == is_accelerated


def test_a_word_that_is_neither_true_nor_false_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECANARY_ACCELERATED", "perhaps")

    with pytest.raises(ConfigurationError, match="TRACECANARY_ACCELERATED is 'perhaps', which is no true or false"):
        intake_settings()
