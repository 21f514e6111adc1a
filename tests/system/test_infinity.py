"""The model of Grafana's data source itself: the conversions were compared with the plugin's own parser once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.system.infinity import InfinityError, interpolate, read_body, read_frame, request_url

NOON = datetime(2025, 8, 1, 12, tzinfo=UTC)


def _target(**types: str) -> dict[str, Any]:
    columns = [{"selector": name, "text": name, "type": type_} for name, type_ in types.items()]
    return {
        "type": "json",
        "source": "url",
        "parser": "backend",
        "format": "table",
        "root_selector": "",
        "url": "/rows",
        "url_options": {"method": "GET", "params": []},
        "columns": columns,
    }


@pytest.mark.parametrize(
    ("type_", "sent", "shown"),
    [
        pytest.param("number", 3, 3.0, id="integer"),
        pytest.param("number", "0.5", 0.5, id="number-in-a-string"),
        pytest.param("number", "n/a", None, id="text-is-no-number"),
        pytest.param("number", True, None, id="boolean-is-no-number"),
        pytest.param("string", None, None, id="null-text"),
        pytest.param("string", True, "true", id="boolean-as-text"),
        pytest.param("boolean", "TRUE", True, id="true-in-a-string"),
        pytest.param("boolean", 1, None, id="number-is-no-boolean"),
        pytest.param("timestamp", "2025-08-01T12:00:00Z", NOON, id="utc"),
        pytest.param("timestamp", "2025-08-01T14:00:00.000000+02:00", NOON, id="offset-and-fraction"),
        pytest.param("timestamp", 1754049600000, None, id="epoch-ms-is-no-timestamp"),
        pytest.param("timestamp", 2025, datetime(2025, 1, 1, tzinfo=UTC), id="small-number-is-a-year"),
        pytest.param("timestamp_epoch", 1754049600000, NOON, id="epoch-ms"),
        pytest.param("timestamp_epoch_s", "1754049600", NOON, id="epoch-s-in-a-string"),
    ],
)
def test_a_value_is_shown_as_its_declared_type(type_: str, sent: object, shown: object) -> None:
    frame = read_frame(_target(value=type_), [{"value": sent}])

    assert frame["value"] == [shown]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({"rows": []}, "array of objects", id="object-at-the-root"),
        pytest.param([[1]], "array of objects", id="rows-as-arrays"),
        pytest.param([{"value": 1}, {}], "row 1 has no key 'value'", id="missing-key"),
        pytest.param([{"value": {"n": 1}}], "nested", id="nested-value"),
        pytest.param([{"value": 2**53 + 1}], "above 2", id="integer-beyond-float64"),
    ],
)
def test_an_answer_that_grafana_would_show_wrongly_is_an_error(body: object, message: str) -> None:
    with pytest.raises(InfinityError, match=message):
        read_frame(_target(value="number"), body)


def test_a_number_in_a_text_column_is_an_error() -> None:
    with pytest.raises(InfinityError, match="string column"):
        read_frame(_target(value="string"), [{"value": 1_000_000}])


def test_nan_is_not_json() -> None:
    with pytest.raises(InfinityError, match="NaN"):
        read_body(b'[{"value": NaN}]')


def test_columns_come_back_sorted_by_name_and_no_rows_mean_no_columns() -> None:
    target = _target(time="timestamp", arm="string")

    assert list(read_frame(target, [{"arm": "a", "time": None}]).columns) == ["arm", "time"]
    assert list(read_frame(target, []).columns) == []


def test_parameters_are_encoded_once_and_repeated_keys_keep_their_order() -> None:
    target = _target(value="number")
    target["url_options"]["params"] = [
        {"key": "step", "value": "$step"},
        {"key": "arm", "value": "${b:raw}"},
        {"key": "arm", "value": "${a}"},
    ]

    url = request_url(target, base_url="http://host:1/", variables={"a": "ft:x/y z", "b": "m", "step": "1h"})

    assert url == "http://host:1/rows?arm=m&arm=ft%3Ax%2Fy+z&step=1h"


def test_a_percent_encoded_value_in_the_path_of_the_query_is_encoded_once() -> None:
    target = _target(value="number")
    target["url"] = "/rows?arm=${a:percentencode}"

    assert request_url(target, base_url="http://host", variables={"a": "x/y&z"}) == "http://host/rows?arm=x%2Fy%26z"


@pytest.mark.parametrize("text", ["${nobody}", "${a:unheard}"])
def test_a_variable_that_grafana_would_leave_standing_is_an_error(text: str) -> None:
    with pytest.raises(InfinityError):
        interpolate(text, {"a": "1"})
