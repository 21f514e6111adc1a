"""`tracecanary policy`: write a release policy to edit, and check one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tracecanary.analytics.metrics import catalogue
from tracecanary.analytics.policy import POLICY_FILE, policy_template, read_policy
from tracecanary.api.config import service_settings
from tracecanary.schema import CONFIG_VARIABLE, ConfigurationError

policy_app = typer.Typer(help="Write and check release policies: margins, guardrails, what is critical.")

Config = Annotated[
    Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML, with metrics of your own")
]
File = Annotated[Path, typer.Argument(help="policy file; the service and compare read a lake's policy.yaml")]


@policy_app.command()
def init(file: File = Path(POLICY_FILE), config: Config = None) -> None:
    """Write a policy with every default, to edit; an existing file stays as it is."""
    metrics = catalogue(service_settings(config).rules.metrics)
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(policy_template(metrics))
    except FileExistsError as error:
        raise ConfigurationError([f"{file} exists. Choose another name, or remove it first"]) from error
    except OSError as error:
        raise ConfigurationError([f"can't write {file}: {error.strerror}. Check the path and its rights"]) from error
    _say(f"wrote {file}; edit it, then: tracecanary policy check {file}")


@policy_app.command()
def check(file: File = Path(POLICY_FILE), config: Config = None) -> None:
    """Check a policy and say what it asks for."""
    policy = read_policy(file, catalogue(service_settings(config).rules.metrics))
    guardrails = [metric for metric in policy.metrics if metric.is_guardrail]
    critical = [metric.name for metric in policy.metrics if metric.is_critical]
    critical += [name for name, metric in policy.evaluators.items() if metric.is_critical]
    _say(
        f"{file} is a valid policy: {len(guardrails)} guardrails, {len(policy.evaluators)} evaluators with rules of "
        f"their own, critical: {', '.join(critical) or 'none'}; "
        f"planned for {policy.planned_traces:,} traces of each arm"
    )


def _say(text: str) -> None:
    Console(soft_wrap=True).print(text, markup=False, highlight=False)
