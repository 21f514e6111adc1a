"""`tracecanary compare`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from tracecanary.analytics.answer import Answer, Verdict, with_metrics
from tracecanary.analytics.comparison import compare
from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.metrics import catalogue
from tracecanary.analytics.policy import lake_policy, read_policy
from tracecanary.analytics.question import DEFAULT_CONFIDENCE, DEFAULT_MAX_COHORTS, MOST_COHORTS, check_metrics
from tracecanary.analytics.store import Store
from tracecanary.api.cli.options import existing_lake
from tracecanary.api.config import service_settings
from tracecanary.api.parameters import CompareParameters
from tracecanary.api.presentation import answer_markdown, answer_view, table_console
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.schema import CONFIG_VARIABLE, ConfigurationError, InvalidQuestionError

if TYPE_CHECKING:
    import httpx

# A cold service may build its facts first.
_TIMEOUT_S = 120.0


class OutputFormat(StrEnum):
    """How the answer is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


# With --exit-code; 1 and 2 are taken by errors.
VERDICT_EXIT_CODES = {Verdict.SHIP: 0, Verdict.NARROW: 10, Verdict.HOLD: 20, Verdict.ROLL_BACK: 30}


def compare_arms(
    base: Annotated[str, typer.Option(help="model in use")],
    candidate: Annotated[str, typer.Option(help="model that might take its place")],
    lake: Annotated[str | None, typer.Option(envvar=LAKE_VARIABLE, help="folder or URL of the lake to read")] = None,
    url: Annotated[
        str | None, typer.Option(help="running service to ask instead, such as http://localhost:8080")
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="how to print the answer")] = OutputFormat.TABLE,
    arm_by: Annotated[
        str, typer.Option(help="what base and candidate name: model, variant, release, prompt")
    ] = "model",
    cohort_by: Annotated[
        str, typer.Option(help="what makes a cohort: cohort, route, ..., or one of --config; several with commas")
    ] = "cohort",
    from_time: Annotated[str | None, typer.Option("--from", help="traces from then on: ISO-8601 or epoch ms")] = None,
    to_time: Annotated[str | None, typer.Option("--to", help="traces before then: ISO-8601 or epoch ms")] = None,
    cohort: Annotated[list[str] | None, typer.Option(help="only this cohort; repeatable")] = None,
    route: Annotated[list[str] | None, typer.Option(help="only this route; repeatable")] = None,
    evaluator: Annotated[list[str] | None, typer.Option(help="only this evaluator; repeatable")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="show only this metric; repeatable")] = None,
    confidence: Annotated[float, typer.Option(help="coverage of the intervals")] = DEFAULT_CONFIDENCE,
    mode: Annotated[
        str, typer.Option(help="sequential: read at any time; fixed: read once, at --at-n traces of each arm")
    ] = "sequential",
    at_n: Annotated[int | None, typer.Option(help="with --mode fixed: traces of each arm at which to read")] = None,
    planned_traces: Annotated[
        int | None, typer.Option(help="traces of each arm planned before any data; the policy's by default")
    ] = None,
    max_cohorts: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_COHORTS, help="show the cohorts with the most traces, so many, and those that lose"
        ),
    ] = DEFAULT_MAX_COHORTS,
    policy: Annotated[
        Path | None,
        typer.Option(help="release policy, with --lake; that of the lake by default, see tracecanary policy"),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="exit with 0 ship, 10 narrow, 20 hold, 30 roll back; for CI")
    ] = False,
    config: Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")] = None,
) -> None:
    """Compare a candidate with its base, from a lake folder or a running service."""
    arms = {"base": base, "candidate": candidate, "arm_by": arm_by, "cohort_by": cohort_by}
    traces = {"from": from_time, "to": to_time, "cohort": cohort, "route": route, "evaluator": evaluator}
    reading = {"confidence": confidence, "mode": mode, "at_n": at_n, "planned_traces": planned_traces}
    given = {**arms, **traces, **reading, "max_cohorts": max_cohorts}
    parameters = {name: value for name, value in given.items() if value}
    settings = service_settings(config)  # one that can't be used is no ground for a verdict
    if not url:  # a service may have metrics that this configuration lacks
        check_metrics(metric or [], [known.name for known in catalogue(settings.rules.metrics)])
    if url and policy:
        raise ConfigurationError(["--policy goes with --lake; a service keeps to the policy.yaml of its lake"])
    answer = _ask_service(url, parameters) if url else _ask_lake(lake, policy, parameters, settings.derivation)
    check_metrics(metric or [], list(dict.fromkeys(row.metric for row in answer.overall.metrics)))
    _print(answer, output, metric or [])
    if exit_code:
        raise typer.Exit(VERDICT_EXIT_CODES[answer.overall.verdict])


def _ask_lake(
    setting: str | None, policy: Path | None, parameters: dict[str, Any], settings: DerivationSettings
) -> Answer:
    if setting is None:
        raise ConfigurationError(["no lake to read. Pass --lake PATH, or --url of a running service"])
    lake = existing_lake(setting)
    try:
        store = Store(lake, settings)
        rules = lake_policy(lake, store.metrics) if policy is None else read_policy(policy, store.metrics)
        question = CompareParameters.model_validate(parameters).question(rules)
    except ValidationError as error:
        first = error.errors()[0]
        name, message = ".".join(map(str, first["loc"])), str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "missing":  # its input is all the others
            raise InvalidQuestionError(name, None, "Name the base and the candidate.") from error
        raise InvalidQuestionError(name, first["input"], f"{message}.") from error
    return compare(store, question).answer


def _ask_service(url: str, parameters: dict[str, Any]) -> Answer:
    import httpx  # late: it costs the start of every command, and of the service, 0.1 s

    try:
        response = httpx.get(f"{url.rstrip('/')}/compare", params=parameters, timeout=_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            [f"no answer from {url}: {str(error).rstrip('.')}. Check --url, or start it: tracecanary serve"]
        ) from error
    if not response.is_success:
        raise ConfigurationError([f"{url} answered {response.status_code}: {_detail(response)}"])
    try:
        return Answer.model_validate_json(response.content)
    except ValidationError as error:
        raise ConfigurationError([f"{url} gave no answer this version reads; is it a tracecanary service?"]) from error


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase


def _print(answer: Answer, output: OutputFormat, metrics: list[str]) -> None:
    if output is OutputFormat.JSON:
        typer.echo(with_metrics(answer, metrics).model_dump_json(by_alias=True, indent=2))
    elif output is OutputFormat.MARKDOWN:
        typer.echo(answer_markdown(answer, metrics=metrics or None))
    else:
        table_console().print(answer_view(answer, metrics=metrics or None))
