"""Errors of every room.

TraceCanaryError
├── ConfigurationError      settings that can't work; lists every problem at once
│   └── ConfigFileError     a configuration file that can't be used
├── MalformedInputError     a file or request body that can't be decoded
├── TooLargeError           a request body above a limit
├── OverloadedError         more is arriving than can be stored; try again later
├── SendError               a service could not be reached, or refused what was sent
├── InvalidQuestionError    parameters of a comparison that make no question
│   └── UnknownArmError     an arm that no stored trace has ever asked for
├── UnknownTraceError       a trace of which nothing was stored
├── LakeError               the lake folder can't be written or read
└── StoreError              the query engine failed on the lake's content
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


class TraceCanaryError(Exception):
    """Base of all errors raised on purpose by tracecanary."""


class ConfigurationError(TraceCanaryError):
    """Settings that can't work together or have no valid value."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class ConfigFileError(ConfigurationError):
    """A configuration file that can't be read, or holds what can't be used. One line a problem."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        self.path = path
        super().__init__(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.path}: {self.problems[0]}"
        return "\n  - ".join([f"{self.path} has {len(self.problems)} problems:", *self.problems])


class MalformedInputError(TraceCanaryError):
    """Outside data that can't be decoded."""


class TooLargeError(TraceCanaryError):
    """A request body above a limit."""


class OverloadedError(TraceCanaryError):
    """More is arriving than can be stored; `retry_after_s` says when to try again."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class SendError(TraceCanaryError):
    """A service could not be reached, or refused what was sent."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"{url} did not take what was sent: {reason}. Check that the service runs, and its token.")


class InvalidQuestionError(TraceCanaryError):
    """A parameter of a comparison that has no valid value.

    `parameter` is the public name of the parameter, `value` what was given (None when it is missing).
    """

    def __init__(self, parameter: str, value: object, remedy: str) -> None:
        self.parameter, self.value, self.remedy = parameter, value, remedy
        given = "is missing" if value is None else f"is {value!r}"
        super().__init__(f"parameter {parameter!r} {given}. {remedy}")


class UnknownArmError(InvalidQuestionError):
    """No stored trace has ever asked for this arm."""

    def __init__(self, parameter: str, arm: str, *, arm_by: str, seen: Sequence[str]) -> None:
        self.arm, self.arm_by, self.seen = arm, arm_by, tuple(seen)
        known = ", ".join(seen[:10]) or "none yet"
        super().__init__(
            parameter,
            arm,
            f"No stored trace has this {arm_by} (seen: {known}). Check the spelling, or send traces first.",
        )


class UnknownTraceError(TraceCanaryError):
    """Nothing of this trace is stored; `facts_from` is since when traces are kept, None for ever."""

    def __init__(self, trace_id: str, *, facts_from: datetime | None = None) -> None:
        self.trace_id, self.facts_from = trace_id, facts_from
        expired = (
            "" if facts_from is None else f" Traces that started before {facts_from:%Y-%m-%dT%H:%MZ} have expired."
        )
        super().__init__(
            f"there is no span and no evaluation of a trace {trace_id!r}. Use its 32 lower-case hex digits, as /traces "
            f"lists them; a trace that has just ended may take some seconds to appear.{expired}"
        )


class LakeError(TraceCanaryError):
    """The lake folder can't be written or read."""


class StoreError(TraceCanaryError):
    """The query engine failed on the lake's content."""
