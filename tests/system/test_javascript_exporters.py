"""OpenTelemetry's JavaScript exporters, from npm, against a real service."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.system.exported_calls import assert_delivered

from tracecanary.api.service import ServiceAddresses, running_receiver

pytestmark = [
    pytest.mark.npm,
    pytest.mark.skipif(shutil.which("npm") is None or shutil.which("node") is None, reason="node and npm are missing"),
]
SCRIPT = Path(__file__).with_name("javascript_exporters.mjs")
EXPORTERS = ("http", "proto", "grpc")
SPANS = 300


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("javascript")
    shutil.copy(SCRIPT, folder)
    (folder / "package.json").write_text('{"private": true}')
    packages = ["@opentelemetry/sdk-trace-node", *(f"@opentelemetry/exporter-trace-otlp-{name}" for name in EXPORTERS)]
    subprocess.run(["npm", "install", "--silent", "--no-audit", *packages], cwd=folder, check=True, timeout=300)
    return folder


def _url(service: ServiceAddresses, exporter: str) -> str:
    return f"http://{service.grpc}" if exporter == "grpc" else f"{service.url}/v1/traces"


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_javascript_exporter_delivers_everything_once_with_types_intact(
    exporter: str, package: Path, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"

    with running_receiver(lake) as service:
        command = ["node", SCRIPT.name, exporter, _url(service, exporter), str(SPANS)]
        subprocess.run(command, cwd=package, check=True, timeout=120)

    assert_delivered(lake, SPANS)
