"""`make` does what its sources ask for, and the documents name only targets and options that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import typer.main

from tracecanary.api.cli.main import app

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
# Of docker compose, pip, gunicorn and our measurements.
OTHERS_OPTIONS = {
    "--build",
    "--force-reinstall",
    "--no-binary",
    "--no-cache-dir",
    "--no-deps",
    "--peers",
    "--preload",
}


def make(*arguments: str) -> str:
    command = ["make", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout


def targets() -> set[str]:
    declared = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared is not None
    return set(declared.group(1).split())


def options() -> set[str]:
    """Options of the command and of all below it."""
    commands, names = [typer.main.get_command(app)], set[str]()
    while commands:
        command = commands.pop()
        names.update(name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts))
        commands += getattr(command, "commands", {}).values()
    return names


@pytest.mark.parametrize(
    "changed",
    [
        "collector/tracecanary/collector/_packed.h",
        "collector/tracecanary/collector/_packed_spans.c",
        "hatch_build.py",
        "requirements.lock",
    ],
)
def test_what_an_installation_is_made_of_makes_it_anew_when_it_changes(changed: str, tmp_path: Path) -> None:
    for name in ("bin/python", ".installed", ".installed-dev"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    unchanged = make("--dry-run", "install-dev", f"VENV={tmp_path}")
    again = make("--dry-run", f"--what-if={changed}", "install-dev", f"VENV={tmp_path}")

    assert "pip install" not in unchanged
    assert "--editable '.[server]'" in again
    assert "--editable '.[server,dev]'" in again


def test_help_lists_every_target() -> None:
    assert set(re.findall(r"^  make ([a-z-]+)", make("help"), re.MULTILINE)) == targets()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_documents_name_targets_and_options_that_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets()
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= options() | OTHERS_OPTIONS
