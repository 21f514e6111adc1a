"""The provisioned Grafana dashboard, query by query, against a running service; and the files that deploy it.

No Grafana runs here: `infinity.py` models what its data source does with a query and an answer.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Union, get_args, get_origin, get_type_hints

import httpx
import pytest
import yaml
from tests.system.infinity import PLUGIN, Frame, dashboard_targets, interpolate, read_body, read_frame, request_url

from tracecanary.analytics.answer import AnswerRow, CellState, Verdict
from tracecanary.analytics.metrics import METRICS_BY_NAME

Query = tuple[Mapping[str, Any], Mapping[str, Any]]  # a panel and one of its targets

DEPLOY = Path(__file__).parents[2] / "deploy"
GRAFANA = DEPLOY / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "tracecanary.json").read_text(encoding="utf-8"))
TARGETS = list(dashboard_targets(DASHBOARD["panels"]))
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
SERIES = [(panel, target) for panel, target in TARGETS if target["url"] == "/series"]

BASE = "gpt-4.1"
CANDIDATE = "ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm"
FROM = datetime(2025, 7, 31, 22, 0, tzinfo=UTC)
TO = datetime(2025, 8, 1, 17, 0, tzinfo=UTC)
CHOSEN = {
    "base": BASE,
    "candidate": CANDIDATE,
    "cohort_by": "cohort",
    "step": "1h",
    "__from": str(int(FROM.timestamp() * 1000)),
    "__to": str(int(TO.timestamp() * 1000)),
}
# Failed traces and all traces, counted in the recorded runs: base, then candidate. None is all cohorts together.
FAILED: dict[str | None, tuple[tuple[int, int], tuple[int, int]]] = {
    None: ((58, 140), (29, 140)),
    "airline": ((10, 20), (7, 20)),
    "retail": ((6, 40), (6, 40)),
    "telecom": ((22, 40), (10, 40)),
    "telecom-solo": ((20, 40), (6, 40)),
}
GRAFANA_UNITS = {"fraction": "percentunit", "s": "s", "USD": "currencyUSD"}
MAY_BE_NULL = {
    "/compare/rows": {
        "cohort",  # all cohorts together
        "evaluator",  # a metric that needs none
        *("base_value", "candidate_value", "effect", "ci_low", "ci_high", "margin", "reason", "more_traces"),
    },
    "/series": set(),  # a step without a value has no row
    "/models": {"cost_usd"},  # no known price
}


class DemoService(Protocol):
    """A running service whose lake holds the recorded pair of models."""

    @property
    def url(self) -> str: ...


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


def _fetch(client: httpx.Client, service: DemoService, target: Mapping[str, Any]) -> tuple[list[Any], Frame]:
    response = client.get(request_url(target, base_url=service.url, variables=CHOSEN))
    assert response.status_code == 200, f"{response.url}: {response.text}"
    body = read_body(response.content)
    return body, read_frame(target, body)


def _panel(title: str) -> Query:
    [(panel, target)] = [(panel, target) for panel, target in TARGETS if panel["title"] == title]
    return panel, target


def _metric(target: Mapping[str, Any]) -> str | None:
    return next((param["value"] for param in target["url_options"]["params"] if param["key"] == "metric"), None)


def _named(queries: list[Query]) -> list[Any]:
    return [pytest.param(panel, target, id=panel["title"].replace(" ", "-")) for panel, target in queries]


# --- live: what the panels get


@pytest.mark.parametrize(("panel", "target"), _named(TARGETS))
def test_each_panel_query_gives_typed_columns_and_null_only_where_undefined(
    client: httpx.Client, demo_service: DemoService, panel: Mapping[str, Any], target: Mapping[str, Any]
) -> None:
    body, frame = _fetch(client, demo_service, target)

    assert len(frame) == len(body) > 0
    allowed = MAY_BE_NULL[target["url"]] if _metric(target) != "eval_fail_rate" else {"cohort"}
    for column in target["columns"]:
        is_null = [value is None for value in frame[column["text"]]]
        assert is_null == [row[column["selector"]] is None for row in body], f"{column} was lost in conversion"
        assert column["selector"] in allowed or not any(is_null), f"{column} is null in {panel['title']}"


@pytest.mark.parametrize("name", ["base", "candidate"])
def test_variable_queries_offer_both_models(client: httpx.Client, demo_service: DemoService, name: str) -> None:
    target = VARIABLES[name]["query"]["infinityQuery"]

    _, frame = _fetch(client, demo_service, target)

    assert list(frame.columns) == ["model"]
    assert {BASE, CANDIDATE} <= set(frame["model"])
    assert None not in frame["model"]


def test_fail_rates_by_model_and_cohort_are_the_recorded_ones(client: httpx.Client, demo_service: DemoService) -> None:
    _, frame = _fetch(client, demo_service, _panel("Fail rate by model and cohort")[1])

    got = {row["cohort"]: row for row in frame.rows()}
    assert set(got) == set(FAILED)
    for cohort, ((base_fails, base_n), (candidate_fails, candidate_n)) in FAILED.items():
        assert got[cohort]["base_value"] == pytest.approx(base_fails / base_n, abs=1e-9), cohort
        assert got[cohort]["candidate_value"] == pytest.approx(candidate_fails / candidate_n, abs=1e-9), cohort
        assert (got[cohort]["base_n"], got[cohort]["candidate_n"]) == (base_n, candidate_n), cohort
    assert got[None]["base_value"] == pytest.approx(0.4142857, abs=1e-7)


def test_p99_latency_over_all_cohorts_is_near_the_recorded_one(client: httpx.Client, demo_service: DemoService) -> None:
    _, frame = _fetch(client, demo_service, _panel("p99 latency by model and cohort")[1])

    [overall] = [row for row in frame.rows() if row["cohort"] is None]
    # Nearest rank in the recorded runs; the service reads quantiles from a histogram with buckets 2.2 % wide.
    assert overall["base_value"] == pytest.approx(110.573, rel=0.025)
    assert overall["candidate_value"] == pytest.approx(179.751, rel=0.025)


def test_the_fine_tune_without_a_price_has_no_cost_and_is_not_free(
    client: httpx.Client, demo_service: DemoService
) -> None:
    _, by_cohort = _fetch(client, demo_service, _panel("Cost per trace by model and cohort")[1])
    _, over_time = _fetch(client, demo_service, _panel("Cost per trace over time")[1])

    [overall] = [row for row in by_cohort.rows() if row["cohort"] is None]
    assert overall["base_value"] == pytest.approx(0.062968, rel=1e-4)
    assert set(by_cohort["candidate_value"]) == {None}
    assert set(over_time["arm"]) == {BASE}


def test_the_verdict_panel_is_left_with_one_coloured_verdict(client: httpx.Client, demo_service: DemoService) -> None:
    panel, target = _panel("Verdict")
    [keep_null] = panel["transformations"]
    assert keep_null["options"]["filters"] == [{"fieldName": "cohort", "config": {"id": "isNull", "options": {}}}]

    _, frame = _fetch(client, demo_service, target)

    overall = {str(row["verdict"]) for row in frame.rows() if row["cohort"] is None}
    assert len(overall) == 1
    assert overall <= set(panel["fieldConfig"]["defaults"]["mappings"][0]["options"])


def test_each_cohort_has_one_verdict(client: httpx.Client, demo_service: DemoService) -> None:
    _, frame = _fetch(client, demo_service, _panel("Verdict by cohort")[1])

    pairs = {(row["cohort"], row["verdict"]) for row in frame.rows()}
    assert sorted(str(cohort) for cohort, _ in pairs) == sorted(str(cohort) for cohort in FAILED)


@pytest.mark.parametrize(("panel", "target"), _named(SERIES))
def test_over_time_panels_get_one_ascending_line_for_each_arm(
    client: httpx.Client, demo_service: DemoService, panel: Mapping[str, Any], target: Mapping[str, Any]
) -> None:
    [partition] = panel["transformations"]
    assert (partition["id"], partition["options"]["fields"]) == ("partitionByValues", ["arm"])

    _, frame = _fetch(client, demo_service, target)

    assert frame["time"] == sorted(frame["time"], key=str)
    for arm in {BASE, CANDIDATE} if _metric(target) != "cost_per_trace" else {BASE}:
        times = [row["time"] for row in frame.rows() if row["arm"] == arm]
        assert 0 < len(times) == len(set(times)), f"{arm}: two values at one time cannot be one line"
        assert all(isinstance(time, datetime) and FROM <= time < TO for time in times)


# --- the dashboard file


def test_every_reference_to_a_data_source_is_the_provisioned_one() -> None:
    [source] = _yaml(GRAFANA / "provisioning" / "datasources" / "tracecanary.yaml")["datasources"]

    assert source["type"] == PLUGIN
    references = list(_values_of(DASHBOARD, "datasource"))
    assert len(references) >= len(TARGETS)
    assert all(reference == {"type": source["type"], "uid": source["uid"]} for reference in references)


def test_the_data_source_may_reach_every_url_of_the_dashboard_and_nothing_that_writes() -> None:
    [source] = _yaml(GRAFANA / "provisioning" / "datasources" / "tracecanary.yaml")["datasources"]
    prefixes = [url.removeprefix(source["url"]) for url in source["jsonData"]["allowedHosts"]]

    urls = {target["url"] for _, target in TARGETS} | {"/models", "/healthz"}
    assert all(any(url.startswith(prefix) for prefix in prefixes) for url in urls)
    assert not any(url.startswith(tuple(prefixes)) for url in ("/v1/evaluations", "/v1/traces", "/v1/logs"))


def test_declared_column_types_are_those_of_the_answer_rows() -> None:
    hints = get_type_hints(AnswerRow)

    for panel, target in TARGETS:
        if target["url"] == "/compare/rows":
            declared = {column["selector"]: column["type"] for column in target["columns"]}
            assert declared == {name: _grafana_type(hints[name]) for name in declared}, panel["title"]


def test_panels_refer_only_to_columns_that_their_query_declares() -> None:
    for panel, target in TARGETS:
        columns = {column["text"] for column in target["columns"]}
        named = {
            override["matcher"]["options"]
            for override in panel["fieldConfig"]["overrides"]
            if override["matcher"]["id"] == "byName"
        }
        for transformation in panel.get("transformations", []):
            options = transformation["options"]
            named |= {*options.get("indexByName", {}), *options.get("fields", [])}
            named |= {condition["fieldName"] for condition in options.get("filters", [])}
            if transformation["id"] == "organize":
                assert set(options["indexByName"]) == columns, f"{panel['title']}: the plugin sorts columns by name"
        named |= {panel["options"]["xField"]} if "xField" in panel["options"] else set()
        assert named <= columns, panel["title"]


def test_metric_panels_name_a_metric_of_the_catalogue_and_show_its_unit() -> None:
    seen = set()
    for panel, target in TARGETS:
        metric = _metric(target)
        if metric is None:
            continue
        seen.add((metric, target["url"]))
        config = panel["fieldConfig"]
        units = {prop["value"] for o in config["overrides"] for prop in o["properties"] if prop["id"] == "unit"}
        assert units | {config["defaults"].get("unit")} - {None} == {GRAFANA_UNITS[METRICS_BY_NAME[metric].unit]}
    metrics = ("eval_fail_rate", "latency_p99", "cost_per_trace")
    assert seen == {(metric, url) for metric in metrics for url in ("/compare/rows", "/series")}


def test_every_verdict_and_state_has_a_colour() -> None:
    mapped = {
        frozenset(mapping["options"])
        for mappings in _values_of(DASHBOARD, "mappings")
        for mapping in mappings
        if mapping["type"] == "value"
    } | {
        frozenset(mapping["options"])
        for prop in _properties("mappings")
        for mapping in prop
        if mapping["type"] == "value"
    }

    assert mapped == {frozenset(Verdict), frozenset(CellState)}


def test_the_base_is_not_offered_as_candidate() -> None:
    regex = interpolate(VARIABLES["candidate"]["regex"], {"base": BASE}, default_format="regex")
    pattern = re.compile(regex.removeprefix("/").removesuffix("/"))

    offered = [model for model in (BASE, CANDIDATE, "gpt-4.1-mini", "gpt-401") if pattern.search(model)]
    assert offered == [CANDIDATE, "gpt-4.1-mini", "gpt-401"]


@pytest.mark.parametrize("model", [CANDIDATE, "azure/gpt-4o [button harness]", "a+b&c=d%20e#f", "modèle"])
def test_a_model_name_arrives_as_it_was_chosen(model: str) -> None:
    _, target = _panel("Evidence")

    url = request_url(target, base_url="http://tracecanary:8080", variables={**CHOSEN, "candidate": model})

    assert httpx.URL(url).params["candidate"] == model


def test_every_panel_is_described_and_the_time_range_is_a_week() -> None:
    assert [panel["title"] for panel, _ in TARGETS if len(panel["description"]) < 20] == []
    assert DASHBOARD["time"] == {"from": "now-7d", "to": "now"}


# --- what deploys it


def test_compose_mounts_files_that_exist_where_grafana_looks_for_them() -> None:
    compose = _yaml(DEPLOY / "docker-compose.yml")["services"]
    mounts = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    [provider] = _yaml(GRAFANA / "provisioning" / "dashboards" / "tracecanary.yaml")["providers"]

    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert all((DEPLOY / source).is_dir() for source in mounts if source.startswith("."))
    home = Path(compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent.as_posix() == provider["options"]["path"]
    assert (GRAFANA / "dashboards" / home.name).is_file()
    assert compose["grafana"]["environment"]["GF_PLUGINS_PREINSTALL_SYNC"].partition("@")[0] == PLUGIN
    assert ":-http://tracecanary:8080}" in compose["grafana"]["environment"]["TRACECANARY_URL"]
    assert (
        DEPLOY / compose["tracecanary"]["build"]["context"] / compose["tracecanary"]["build"]["dockerfile"]
    ).is_file()


def test_compose_publishes_ports_on_the_loopback_only() -> None:
    services = _yaml(DEPLOY / "docker-compose.yml")["services"]

    ports = [port for service in services.values() for port in service["ports"]]
    assert len(ports) == 3  # the service over HTTP and gRPC, Grafana
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_image_starts_a_command_with_options_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    [command] = re.findall(r"^CMD (\[.*\])$", dockerfile, flags=re.MULTILINE)
    subcommand, *options = json.loads(command)
    monkeypatch.setenv("COLUMNS", "200")  # no wrapped option names
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")

    run = "from tracecanary.api.cli.entry import main; main()"
    done = subprocess.run([sys.executable, "-c", run, subcommand, "--help"], capture_output=True, text=True, check=True)

    assert [option for option in options if option.startswith("--") and option not in done.stdout] == []


def test_the_build_context_holds_what_the_wheel_needs() -> None:
    lines = (DEPLOY.parent / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!").rstrip("/") for line in lines if line.startswith("!")}

    assert {"analytics", "api", "collector", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE"} <= kept


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _values_of(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        for value in node.values():
            yield from _values_of(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _values_of(value, key)


def _properties(name: str) -> Iterator[Any]:
    for panel, _ in TARGETS:
        for override in panel["fieldConfig"]["overrides"]:
            yield from (prop["value"] for prop in override["properties"] if prop["id"] == name)


def _grafana_type(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        [hint] = [part for part in get_args(hint) if part is not types.NoneType]
    if hint in (int, float):
        return "number"
    return "timestamp" if hint is datetime else "string"
