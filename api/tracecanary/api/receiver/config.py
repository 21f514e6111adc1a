"""Settings of what the service receives, read once: arguments, else environment variables, else defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracecanary.api.receiver.tokens import Tokens
from tracecanary.collector.config import IntakeSettings, intake_settings
from tracecanary.schema import ConfigurationError

TOKENS_VARIABLE = "TRACECANARY_TOKENS"
TOKENS_FILE_VARIABLE = "TRACECANARY_TOKENS_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Certificate chain and private key, in PEM, for HTTP and gRPC alike."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """What the service receives, how much of it, and from whom."""

    intake: IntakeSettings = field(default_factory=IntakeSettings)
    tokens: Tokens = field(default_factory=Tokens)
    tls: TlsFiles | None = None


def receiver_settings(*, tls: TlsFiles | None = None) -> ReceiverSettings:
    """Return the settings, with what the environment gives.

    Raises:
        ConfigurationError: A token can't be one, their file can't be read, or another variable is wrong.
    """
    return ReceiverSettings(intake=intake_settings(), tokens=Tokens(_tokens(_environment())), tls=tls)


def _tokens(environment: Mapping[str, str]) -> list[str]:
    given = environment.get(TOKENS_VARIABLE, "")
    tokens = [token.strip() for token in given.split(",") if token.strip()]
    if given and not tokens:
        raise ConfigurationError(
            [f"{TOKENS_VARIABLE} {given!r} holds no token. Separate tokens by commas, or unset it"]
        )
    path = environment.get(TOKENS_FILE_VARIABLE)
    if not path:
        return tokens
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            [f"can't read {TOKENS_FILE_VARIABLE} {path!r}: {error}. It holds one token a line"]
        ) from error
    in_file = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not in_file:
        # Somebody wanted tokens: to accept everybody instead would be worse than to stop.
        raise ConfigurationError([f"{TOKENS_FILE_VARIABLE} {path!r} holds no token. Write one a line, or unset it"])
    return tokens + in_file


def _environment() -> Mapping[str, str]:
    return os.environ  # noqa: TID251  the one place that reads it
