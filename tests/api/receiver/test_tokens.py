"""Where the tokens of those who may send come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracecanary.api.receiver.config import receiver_settings
from tracecanary.schema import ConfigurationError


@pytest.mark.parametrize("given", [", ,", " "])
def test_a_variable_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("TRACECANARY_TOKENS", given)

    with pytest.raises(ConfigurationError, match=f"TRACECANARY_TOKENS '{given}' holds no token"):
        receiver_settings()


def test_a_file_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# none yet\n", encoding="ascii")
    monkeypatch.setenv("TRACECANARY_TOKENS_FILE", str(path))

    with pytest.raises(ConfigurationError, match="holds no token"):
        receiver_settings()
