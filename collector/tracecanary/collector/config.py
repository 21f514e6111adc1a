"""Settings of the capture side, read once: arguments, else environment variables, else defaults.

What an installation says about its spans is in the configuration file: see `docs/configuration.md`.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tracecanary.collector.rules import Rules
from tracecanary.collector.rules_file import read_rules
from tracecanary.schema import (
    CONFIG_VARIABLE,
    ConfigurationError,
    LakeLocation,
    OtlpServer,
    parse_lake,
    read_config_file,
)
from tracecanary.schema.config import default_spool

_logger = logging.getLogger(__name__)
LAKE_VARIABLE = "TRACECANARY_LAKE"
# Turns zero-code capture off while the rest of the environment stays as it is.
DISABLED_VARIABLE = "TRACECANARY_DISABLED"
SELECT_VARIABLE = "TRACECANARY_SELECT"
SPOOL_VARIABLE = "TRACECANARY_SPOOL"
ACCELERATED_VARIABLE = "TRACECANARY_ACCELERATED"
# At most this much is lost when the process is killed.
DEFAULT_FLUSH_INTERVAL_S = 1.0
# Each segment is a file, and Parquet is cheap only in large ones; this long a comparison lags behind.
DEFAULT_SEAL_INTERVAL_S = 5.0
# Only a lake that can't be written for long fills it.
DEFAULT_MAX_JOURNAL_BYTES = 1024 * 1024 * 1024
# Whichever of these two is reached first. A span with 25 attributes takes about 0.5 KB.
DEFAULT_MAX_PENDING_SPANS = 250_000
DEFAULT_MAX_PENDING_BYTES = 128 * 1024 * 1024
# Parquet compresses a span seven times cheaper in batches of 16k than of 512; beyond 64k nothing is gained.
DEFAULT_MAX_SEGMENT_SPANS = 65_536
# Of requests that wait for the disk, as they came. When it is full, senders are asked to try again later.
DEFAULT_MAX_WAITING_BYTES = 64 * 1024 * 1024
# Of one body, as it comes and decompressed. OpenTelemetry's exporters send 0.5 MB by default.
DEFAULT_MAX_BODY_BYTES = 16 * 1024 * 1024
DEFAULT_MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024
# Enough for the canary's few percent of the traffic while the rest is being dropped.
DEFAULT_CANARY_RESERVE = 0.1
# As long as OpenTelemetry's own exporters wait.
DEFAULT_SEND_TIMEOUT_S = 10.0
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, "token"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSettings:
    """Where captured spans go, and the limits on the way.

    `canary_reserve` is the fraction of the queue, 0..1, that only canary traffic may fill. `spool`, `token`, `headers`
    and `send_timeout_s` are for lakes that are not on this machine. `keep_explanations` stores what evaluations say in
    words, which may quote prompts and completions. `is_accelerated` uses compiled code, where there is any.
    """

    lake: LakeLocation
    flush_interval_s: float = DEFAULT_FLUSH_INTERVAL_S
    seal_interval_s: float = DEFAULT_SEAL_INTERVAL_S
    max_pending_spans: int = DEFAULT_MAX_PENDING_SPANS
    max_pending_bytes: int = DEFAULT_MAX_PENDING_BYTES
    max_segment_spans: int = DEFAULT_MAX_SEGMENT_SPANS
    max_journal_bytes: int = DEFAULT_MAX_JOURNAL_BYTES
    canary_reserve: float = DEFAULT_CANARY_RESERVE
    flush_on_sigterm: bool = False
    rules: Rules = field(default_factory=Rules)
    keep_explanations: bool = False
    spool: Path | None = None
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    send_timeout_s: float = DEFAULT_SEND_TIMEOUT_S
    is_accelerated: bool = True

    @property
    def request_headers(self) -> dict[str, str]:
        """What every request to a server carries."""
        return {**self.headers, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}

    def __post_init__(self) -> None:
        """Refuse settings that can't work, naming all of them."""
        # A longer wait than TIMEOUT_MAX, 292 years, is an error of the threading module.
        problems = [
            f"{name} is {value!r}, but must be greater than 0, and finite"
            for name, value in (
                ("flush_interval_s", self.flush_interval_s),
                ("seal_interval_s", self.seal_interval_s),
                ("send_timeout_s", self.send_timeout_s),
            )
            if not _is_number(value) or not 0 < value <= threading.TIMEOUT_MAX
        ]
        problems += [
            f"{name} is {value!r}, but must be a whole number greater than 0"
            for name, value in (
                ("max_pending_spans", self.max_pending_spans),
                ("max_pending_bytes", self.max_pending_bytes),
                ("max_segment_spans", self.max_segment_spans),
                ("max_journal_bytes", self.max_journal_bytes),
            )
            if not _is_number(value) or value != int(value) or value <= 0
        ]
        if not _is_number(self.canary_reserve) or not 0 <= self.canary_reserve < 1:
            problems.append(f"canary_reserve is {self.canary_reserve!r}, but must be at least 0 and less than 1")
        problems += [
            f"the header {name!r} has a name or a value that can't be sent"
            for name, value in self.request_headers.items()
            if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable()
        ]
        if isinstance(self.lake, OtlpServer) and self.lake.is_grpc and importlib.util.find_spec("grpc") is None:
            problems.append(
                f"the lake {self.lake} needs the package grpcio. "
                "Install it: pip install 'tracecanary[otlp]', or send by HTTP: http://host:port"
            )
        if problems:
            raise ConfigurationError(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings:
    """Limits of what is received for a lake.

    Attributes:
        max_waiting_bytes: Most bytes of requests that wait for the disk; more are refused, for a time.
        max_body_bytes: Most bytes of a request as it comes.
        max_decompressed_bytes: Most bytes of a request that was compressed.
        seal_interval_s: How long rows wait in the journal until readers see them.
        max_segment_rows: Most rows in a segment.
        max_journal_bytes: Most bytes that wait in the journal while the lake can't be written.
        is_accelerated: Whether compiled code reads requests, where there is any.
    """

    max_waiting_bytes: int = DEFAULT_MAX_WAITING_BYTES
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    max_decompressed_bytes: int = DEFAULT_MAX_DECOMPRESSED_BYTES
    seal_interval_s: float = 1.0  # `/compare` shows new rows within 5 s, and most of that deriving may take
    max_segment_rows: int = DEFAULT_MAX_SEGMENT_SPANS
    max_journal_bytes: int = DEFAULT_MAX_JOURNAL_BYTES
    is_accelerated: bool = True


def intake_settings() -> IntakeSettings:
    """Return the limits of what is received, and what the environment says of compiled code.

    Raises:
        ConfigurationError: It says neither true nor false.
    """
    text = _environment().get(ACCELERATED_VARIABLE)
    if not text:
        return IntakeSettings()
    try:
        return IntakeSettings(is_accelerated=_to_bool(text))
    except ValueError:
        raise ConfigurationError([f"{ACCELERATED_VARIABLE} is {text!r}, which is no {_KINDS[_to_bool]}"]) from None


def capture_settings(
    lake: str | os.PathLike[str] | None = None, *, config: str | os.PathLike[str] | None = None, **given: object
) -> CaptureSettings:
    """Return the settings: those `given` that are not None, else the environment's (see `docs/capture.md`).

    A configuration file that can't be used is logged and left out: it must not harm the application.

    Raises:
        ConfigurationError: No lake is given, or values can't work; it lists every problem.
    """
    environment = _environment()
    problems: list[str] = []
    values: dict[str, Any] = {"rules": _rules_or_default(config)}
    for name, (variable, read) in _VARIABLES.items():
        if given.get(name) is not None:
            values[name] = given[name]
        elif environment.get(variable):
            try:
                values[name] = read(environment[variable])
            except ValueError:
                shown = "" if variable in _SECRET_VARIABLES else f" {environment[variable]!r}, which is"
                problems.append(f"{variable} is{shown} no {_KINDS[read]}")
    if values.get("spool") is not None:
        values["spool"] = Path(values["spool"]).absolute()
    try:
        values["lake"] = lake_location(lake)
        if not isinstance(values["lake"], Path) and "spool" not in values:
            values["spool"] = default_spool()
    except ConfigurationError as error:
        problems = [*error.problems, *problems]
        values.setdefault("lake", Path())
    try:
        settings = CaptureSettings(**values)
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems]) from None
    if problems:
        raise ConfigurationError(problems)
    return settings


def lake_location(lake: str | os.PathLike[str] | None) -> LakeLocation:
    """Return the lake: `lake`, else the environment variable `TRACECANARY_LAKE`.

    Raises:
        ConfigurationError: Neither is set, or it is no lake.
    """
    given = lake or _environment().get(LAKE_VARIABLE)
    if not given:
        raise ConfigurationError(
            [f'no lake given. Pass lake="path/to/lake", or set the environment variable {LAKE_VARIABLE}']
        )
    return parse_lake(given)


def spool_from_environment() -> Path | None:
    """Return the folder that `TRACECANARY_SPOOL` names; None when unset."""
    folder = _environment().get(SPOOL_VARIABLE)
    return Path(folder).absolute() if folder else None


def config_path(config: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the path of the configuration file: `config`, else `TRACECANARY_CONFIG`; None when neither is set."""
    given = config or _environment().get(CONFIG_VARIABLE)
    return Path(given) if given else None


def is_zero_code_capture_wanted() -> bool:
    """Tell whether the environment names a lake and does not turn capturing off."""
    environment = _environment()
    return bool(environment.get(LAKE_VARIABLE)) and not is_capture_disabled()


def is_capture_disabled() -> bool:
    """Tell whether `TRACECANARY_DISABLED` or OpenTelemetry's own `OTEL_SDK_DISABLED` is true.

    Raises:
        ConfigurationError: `TRACECANARY_DISABLED` is neither true nor false.
    """
    environment = _environment()
    disabled = environment.get(DISABLED_VARIABLE) or "false"
    try:
        return _to_bool(disabled) or _is_true(environment.get("OTEL_SDK_DISABLED", ""))
    except ValueError:
        raise ConfigurationError([f"{DISABLED_VARIABLE} is {disabled!r}, which is no true or false"]) from None


def selection_from_environment() -> Mapping[str, tuple[str, ...] | None] | None:
    """Return the selection in `TRACECANARY_SELECT`, "name" or "name=value" with commas between; None when unset.

    A name may come several times, with a value each.

    Raises:
        ConfigurationError: A part of it has no name.
    """
    selection: dict[str, tuple[str, ...] | None] = {}
    text = _environment().get(SELECT_VARIABLE, "")
    for part in filter(str.strip, text.split(",")):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not name:
            raise ConfigurationError(
                [f"{SELECT_VARIABLE} is {text!r}, but must be name or name=value, with commas between"]
            )
        known = selection.get(name, ())
        # Without a value, any will do.
        selection[name] = (*known, value) if value and known is not None else None
    return selection or None


def are_internal_metrics_enabled() -> bool:
    """Tell whether OpenTelemetry's SDK reports on itself: `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`."""
    return _is_true(_environment().get("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", ""))


def _rules_or_default(config: str | os.PathLike[str] | None) -> Rules:
    """Return the rules of the configuration file; with one that can't be used, an error in the log and no rules."""
    try:
        path = config_path(config)
        if path is None:
            return Rules()
        file = read_config_file(path)
        rules = read_rules(file)
        file.check()
    except Exception as error:  # noqa: BLE001  the host application is to start whatever the file holds
        _logger.error("no rule of the configuration file is applied: %s", error)  # noqa: TRY400  the cause is in it
        return Rules()
    return rules


def _environment() -> Mapping[str, str]:
    return os.environ  # noqa: TID251  the one place that reads it


def _is_number(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _is_true(text: str) -> bool:
    return text.strip().lower() in {"true", "1", "yes", "on"}


def _to_bool(text: str) -> bool:
    if text.strip().lower() not in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
        raise ValueError(text)
    return _is_true(text)


def _to_folder(text: str) -> Path:
    return Path(text).absolute()


def _to_headers(text: str) -> dict[str, str]:
    # As OTEL_EXPORTER_OTLP_HEADERS has them: W3C Baggage without properties.
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError(text)
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs}


_SECRET_VARIABLES = frozenset({"TRACECANARY_TOKEN", "TRACECANARY_HEADERS"})
_KINDS: Mapping[Callable[[str], object], str] = {
    float: "number",
    int: "whole number",
    _to_bool: "true or false",
    _to_headers: "list of name=value with commas between",
}
_VARIABLES: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "flush_interval_s": ("TRACECANARY_FLUSH_INTERVAL_S", float),
    "seal_interval_s": ("TRACECANARY_SEAL_INTERVAL_S", float),
    "max_pending_spans": ("TRACECANARY_MAX_PENDING_SPANS", int),
    "max_pending_bytes": ("TRACECANARY_MAX_PENDING_BYTES", int),
    "max_segment_spans": ("TRACECANARY_MAX_SEGMENT_SPANS", int),
    "max_journal_bytes": ("TRACECANARY_MAX_JOURNAL_BYTES", int),
    "canary_reserve": ("TRACECANARY_CANARY_RESERVE", float),
    "flush_on_sigterm": ("TRACECANARY_FLUSH_ON_SIGTERM", _to_bool),
    "spool": (SPOOL_VARIABLE, _to_folder),
    "token": ("TRACECANARY_TOKEN", str.strip),
    "headers": ("TRACECANARY_HEADERS", _to_headers),
    "send_timeout_s": ("TRACECANARY_SEND_TIMEOUT_S", float),
    "keep_explanations": ("TRACECANARY_KEEP_EXPLANATIONS", _to_bool),
    "is_accelerated": (ACCELERATED_VARIABLE, _to_bool),
}
