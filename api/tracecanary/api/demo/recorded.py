"""The recorded runs that ship with the package; what they hold and their traps: `data/README.md`."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from typing import Literal, TypeVar, cast

from tracecanary.schema import MalformedInputError

_PACKAGE = "tracecanary.api.demo"
_RUNS_FILE = "sierra_tau2_pair.jsonl.gz"
_NS_PER_S = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Actor = Literal["agent", "user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedTool:
    """A tool that a model asked for, with the hash of the arguments."""

    name: str
    arguments_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmCall:
    """A model call by the agent, or by the model that plays the user.

    `end_ns` counts from the start of the run. `cost_usd` is as the source reports it: 0.0 for a model nobody priced.
    """

    actor: Actor
    end_ns: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    requested_tools: tuple[RequestedTool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call by the agent or the user. `end_ns` counts from the start of the run."""

    actor: Actor
    end_ns: int
    name: str
    arguments_hash: str
    has_failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """The fixed first message of the agent: no model was called."""

    end_ns: int


RecordedCall = LlmCall | ToolCall | Greeting


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """One run of the agent on one task, with its calls in order.

    `started_at` and `ended_at` are the recorded stamps; the source names no time zone, they are read as UTC.
    `cost_usd` is None when nobody priced the model.
    """

    run_id: str
    task_id: str
    trial: int
    seed: int
    cohort: str
    domain: str
    harness: str
    model: str
    started_at: datetime
    ended_at: datetime
    duration_ns: int
    cost_usd: float | None
    reward: float
    passed: bool
    termination: str
    calls: tuple[RecordedCall, ...]

    @property
    def start_unix_ns(self) -> int:
        """Recorded start, ns since the Unix epoch."""
        return (self.started_at - _EPOCH) // timedelta(microseconds=1) * 1000

    @property
    def end_unix_ns(self) -> int:
        """Start plus recorded duration, ns since the Unix epoch.

        The recorded end stamp differs from this by up to 14 ms. Published figures use the duration, so we do too.
        """
        return self.start_unix_ns + self.duration_ns


def load_runs() -> list[RecordedRun]:
    """Load the recorded runs from the installed package.

    Raises:
        MalformedInputError: The packaged file was damaged.
    """
    packed = (files(_PACKAGE) / "data" / _RUNS_FILE).read_bytes()
    return parse_runs(gzip.decompress(packed).decode().splitlines())


def parse_runs(lines: Iterable[str]) -> list[RecordedRun]:
    """Parse recorded runs, one JSON object a line.

    Raises:
        MalformedInputError: A line is no record of a run; names the line, from 1, and what is wrong with it.
    """
    runs = []
    for number, line in enumerate(lines, start=1):
        try:
            runs.append(_run(_object(json.loads(line))))
        except (ValueError, OverflowError) as error:  # a JSONDecodeError is a ValueError
            raise MalformedInputError(
                f"line {number} of the recorded runs can't be read: {error}. Reinstall tracecanary to restore the file."
            ) from error
    return runs


def _run(record: Mapping[str, object]) -> RecordedRun:
    return RecordedRun(
        run_id=_field(record, "run_id", str),
        task_id=_field(record, "task_id", str),
        trial=_field(record, "trial", int),
        seed=_field(record, "seed", int),
        cohort=_field(record, "cohort", str),
        domain=_field(record, "domain", str),
        harness=_field(record, "harness", str),
        model=_field(record, "model", str),
        started_at=_utc(record, "start"),
        ended_at=_utc(record, "end"),
        duration_ns=_nanoseconds(record, "duration_s"),
        cost_usd=None if record.get("cost_usd") is None else _number(record, "cost_usd"),
        reward=_number(record, "reward"),
        passed=_field(record, "passed", bool),
        termination=_field(record, "termination", str),
        calls=_calls(_field(record, "calls", list)),
    )


def _calls(entries: list[object]) -> tuple[RecordedCall, ...]:
    calls = tuple(_call(_object(entry)) for entry in entries)
    for earlier, later in pairwise(calls):
        if later.end_ns < earlier.end_ns:
            raise ValueError(f"a call ends at {later.end_ns} ns, before the one recorded ahead of it")
    return calls


def _call(entry: Mapping[str, object]) -> RecordedCall:
    kind = _field(entry, "k", str)
    end_ns = _nanoseconds(entry, "t")
    if kind == "static":
        return Greeting(end_ns=end_ns)
    if kind == "llm":
        return LlmCall(
            actor=_actor(entry),
            end_ns=end_ns,
            input_tokens=_field(entry, "in", int),
            output_tokens=_field(entry, "out", int),
            cost_usd=_number(entry, "cost"),
            requested_tools=tuple(_requested_tool(tool) for tool in _field(entry, "tools", list))
            if "tools" in entry
            else (),
        )
    if kind == "tool":
        return ToolCall(
            actor=_actor(entry),
            end_ns=end_ns,
            name=_field(entry, "name", str),
            arguments_hash=_field(entry, "args", str),
            has_failed=_field(entry, "err", bool),
        )
    raise ValueError(f"a call has the unknown kind {kind!r}")


def _requested_tool(pair: object) -> RequestedTool:
    match pair:
        case [str(name), str(arguments_hash)]:
            return RequestedTool(name=name, arguments_hash=arguments_hash)
    raise ValueError(f"a requested tool is {pair!r}, not a name and a hash")


def _actor(entry: Mapping[str, object]) -> Actor:
    match entry.get("who"):
        case "agent" | "user" as actor:
            return actor
        case other:
            raise ValueError(f"a call was made by {other!r}, neither agent nor user")


def _utc(record: Mapping[str, object], key: str) -> datetime:
    stamp = datetime.fromisoformat(_field(record, key, str))
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def _nanoseconds(record: Mapping[str, object], key: str) -> int:
    seconds = _number(record, key)
    if seconds < 0:
        raise ValueError(f"{key!r} is {seconds!r}, a negative time")
    return round(seconds * _NS_PER_S)


def _number(record: Mapping[str, object], key: str) -> float:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key!r} is {value!r}, not a finite number")
    return float(value)


_Kind = TypeVar("_Kind", str, int, bool, list[object])


def _field(record: Mapping[str, object], key: str, kind: type[_Kind]) -> _Kind:
    value = record.get(key)
    if type(value) is not kind:  # isinstance would take true for the number 1
        raise ValueError(f"{key!r} is {value!r}, not of type {kind.__name__}")
    return value


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no JSON object")  # noqa: TRY004  the caller reports what can't be read
    return cast("Mapping[str, object]", value)
