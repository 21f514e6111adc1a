from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.api.config import service_settings
from tracecanary.schema import (
    CohortDimension,
    ConfigFileError,
    ConfigurationError,
    DimensionSource,
    read_config_file,
    read_dimensions,
)
from tracecanary.schema.config_file import MAX_FILE_BYTES


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "tracecanary.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigFileError) as raised:
        service_settings(path)
    return raised.value.problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "[models\n", "it is no TOML: Expected ']' at the end of a table declaration (at line 1", id="toml"
        ),
        pytest.param("a = 1\na = 2", "it is no TOML: Cannot overwrite a value", id="twice"),
        pytest.param(b"\xff\xfe", "it is no UTF-8 text (byte 0). Save it as UTF-8", id="encoding"),
        pytest.param("x = " + "[" * 5000, "nested", id="nesting"),
        pytest.param(b"#" * (MAX_FILE_BYTES + 1), "it is larger than 4,194,304 bytes", id="size"),
        pytest.param("[model]", "[model] is no section. Did you mean models?", id="section"),
        pytest.param(
            "[xyz]",
            "[xyz] is no section. Known are cohorts, compaction, evaluators, features, links, metrics, models, prices, "
            "retention.",
            id="far",
        ),
        pytest.param("models = 3", "models is 3, but must be a table, such as [models]", id="no table"),
        pytest.param(
            "[models]\nalias = {}", "[models] alias is no key of this section. Did you mean aliases?", id="key"
        ),
        pytest.param("[prices]\nzzz = 1", "[prices] zzz is no key of this section. Known are file.", id="far key"),
        pytest.param("[models]\naliases = 3", "[models] aliases is 3, but must be a table of texts", id="map"),
        pytest.param(
            '[models]\naliases = {"a/b" = 1}', '[models] aliases."a/b" is 1, but must be a text in quotes', id="value"
        ),
        pytest.param('[models]\naliases = {a = ""}', "[models] aliases.a is '', but must be a text", id="empty text"),
        pytest.param(
            '[models]\nstrip_dates = "no"', "[models] strip_dates is 'no', but must be true or false", id="flag"
        ),
        pytest.param(
            '[models]\nprovider_prefixes = ["a/b"]', "[models] provider_prefixes is 'a/b', but the part", id="prefix"
        ),
        pytest.param('[features]\nflags = "one"', "[features] flags is 'one', but must be a list of texts", id="list"),
        pytest.param('[cohorts]\ntags = ["a", 3]', "[cohorts] tags is 3, but has an item that is no text", id="item"),
        pytest.param(
            "[evaluators.x]\npass_at_least = true", "[evaluators.x] pass_at_least is true, but must be a", id="number"
        ),
        pytest.param(
            "[evaluators.x]\npass_at_most = nan", "pass_at_most is nan, but must be a finite number", id="nan"
        ),
        pytest.param("[evaluators.x]\npass_at_most = 1" + "0" * 400, "must be a finite number", id="huge number"),
        pytest.param(
            '[evaluators."my judge"]', '[evaluators."my judge"] is empty. Give it pass_at_least', id="empty section"
        ),
        pytest.param(
            "[evaluators.x]\npass_at_least = 2\npass_at_most = 1", "no score is that high and at most 1.0", id="bounds"
        ),
        pytest.param(
            "[evaluators]\nx = 1", "[evaluators] x is 1, but must be a table, such as [evaluators.x]", id="sub"
        ),
        pytest.param('[prices]\nfile = "absent.toml"', "absent.toml: there is no such file. Check the path", id="path"),
        pytest.param('[prices]\nfile = "a\\u0000b"', "[prices] file is 'a\\x00b', but must be a path", id="no path"),
        pytest.param(
            "[cohorts.dimensions]\nplan = 1", "[cohorts.dimensions] plan is 1, but must be a table", id="dimension"
        ),
        pytest.param(
            "[cohorts.dimensions.plan]",
            "[cohorts.dimensions.plan] is empty. Give it attribute or baggage or resource",
            id="dimension of nothing",
        ),
        pytest.param(
            '[cohorts.dimensions]\nplan = {attribute = "a", baggage = "b"}',
            "must name one key; remove the others",
            id="two keys",
        ),
        pytest.param('[cohorts.dimensions]\nplan = {atribute = "a"}', "Did you mean attribute?", id="misspelt source"),
        pytest.param('[cohorts.dimensions]\n"A B" = {baggage = "b"}', "a name has a-z, 0-9 and _ only", id="name"),
        pytest.param('[cohorts.dimensions]\nroute = {baggage = "b"}', "that is a column already", id="taken name"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(tmp_path: Path, text: str | bytes, problem: str) -> None:
    assert any(problem in found for found in problems_of(written(tmp_path, text)))


def test_every_problem_is_in_one_error(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [modles]
        [models]
        aliases = { a = 1, b = "fine" }
        strip_date = false
        [evaluators.judge]
        pass_at_least = "high"
        [prices]
        file = 5
        """,
    )

    with pytest.raises(ConfigurationError) as raised:
        service_settings(path)

    assert str(raised.value) == "\n  - ".join(
        [
            f"{path} has 5 problems:",
            "[models] aliases.a is 1, but must be a text in quotes, and neither it nor its key empty",
            "[evaluators.judge] pass_at_least is 'high', but must be a finite number",
            '[prices] file is 5, but must be a path in quotes, such as file = "file.toml"',
            "[modles] is no section. Did you mean models?",
            "[models] strip_date is no key of this section. Did you mean strip_dates?",
        ]
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "absent.toml") == (
        "there is no such file. Check the path; one that a file names starts at the folder of that file",
    )


def test_a_path_that_cannot_be_looked_at(tmp_path: Path) -> None:
    assert problems_of(tmp_path / ("x" * 300)) == (
        "it can't be read: File name too long. Check the path and its rights",
    )


def test_what_is_no_file(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == ("this is no regular file. Give the path of a TOML file",)


def test_dimensions_say_where_their_value_is(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [cohorts.dimensions]
        plan = { attribute = "app.plan" }
        tenant = { baggage = "tenant.id" }
        region = { resource = "cloud.region" }
        """,
    )
    file = read_config_file(path)

    dimensions = read_dimensions(file)

    file.check()
    assert dimensions == (
        CohortDimension("plan", DimensionSource.ATTRIBUTE, "app.plan"),
        CohortDimension("tenant", DimensionSource.BAGGAGE, "tenant.id"),
        CohortDimension("region", DimensionSource.RESOURCE, "cloud.region"),
    )
    assert [dimension.stored_as for dimension in dimensions] == ["app.plan", "tenant.id", "resource.cloud.region"]


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert service_settings(written(tmp_path, "\ufeff# nothing\n")) == service_settings(None)


def test_the_documented_file_is_valid(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    example = page.read_text().split("```toml\n")[1].split("```")[0]
    (tmp_path / "prices.toml").touch()

    settings = service_settings(written(tmp_path, example))

    assert [dimension.name for dimension in settings.rules.dimensions] == ["plan", "tenant", "region"]
    assert [(metric.name, metric.is_guardrail) for metric in settings.rules.metrics] == [
        ("refund", True),
        ("order_lost", False),
    ]
    assert settings.prices.file == tmp_path / "prices.toml"


@given(st.binary(max_size=200))
def test_no_content_gives_another_error_than_its_own(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    path = written(tmp_path_factory.mktemp("any"), body)

    try:
        service_settings(path)
    except ConfigFileError as error:
        assert error.path == path  # noqa: PT017  either is fine
