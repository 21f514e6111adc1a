"""OpenTelemetry's OTLP/JSON exporter for Python against a real service.

It is a pre-release that pins other versions than the stable exporters do, so it gets an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.exported_calls import assert_delivered

from tracecanary.api.service import running_receiver

pytestmark = pytest.mark.pypi
SCRIPT = Path(__file__).with_name("python_json_exporter.py")
PACKAGE = "opentelemetry-exporter-otlp-json-http"
SPANS = 300


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json-exporter") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    interpreter = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--pre", PACKAGE]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode:
        pytest.skip(f"{PACKAGE} can't be installed: {installed.stderr.strip()[-300:]}")
    return interpreter


def test_the_json_exporter_delivers_everything_once_with_types_intact(python: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"

    with running_receiver(lake) as service:
        subprocess.run([python, SCRIPT, f"{service.url}/v1/traces", str(SPANS)], check=True, timeout=120)

    assert_delivered(lake, SPANS)
