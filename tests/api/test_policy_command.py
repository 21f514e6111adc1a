"""`tracecanary policy init|check`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tracecanary.analytics.policy import Policy, read_policy
from tracecanary.api.cli.main import app
from tracecanary.schema import ConfigurationError


def test_a_new_policy_is_valid_and_the_default(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"

    written = CliRunner().invoke(app, ["policy", "init", str(path)])
    checked = CliRunner().invoke(app, ["policy", "check", str(path)])

    assert (written.exit_code, checked.exit_code) == (0, 0)
    assert read_policy(path) == Policy()
    assert "critical: eval_fail_rate, error_rate; planned for 2,000 traces of each arm" in checked.output


def test_an_existing_policy_stays(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("mine", encoding="utf-8")

    result = CliRunner().invoke(app, ["policy", "init", str(path)])

    assert isinstance(result.exception, ConfigurationError)
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("content", [None, "version: 1\nmargins: {}\n"])
def test_what_is_no_policy_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "policy.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")

    assert isinstance(CliRunner().invoke(app, ["policy", "check", str(path)]).exception, ConfigurationError)
