"""What Grafana makes of a dashboard query: a small model of its Infinity data source, for tests without a Grafana.

Theory of operation. The browser fills variables into the query; the plugin's backend builds the URL, fetches it, picks
the declared columns of each row and converts each column to its declared type. Where the plugin quietly shows an empty
cell or no panel at all, this model either yields null as well or raises, so that a test sees it.

Source: grafana-infinity-datasource 3.11.1 (interpolate.ts, request.go, client.go) and infinity-libs (jsonframer,
gframer); Grafana's variable formats.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

PLUGIN = "yesoreyeram-infinity-datasource"
MAX_EXACT_INTEGER = 2**53  # every number becomes a float64
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
_PLAIN_SELECTOR = re.compile(r"\w+")  # anything else is a path or a query in the plugin's selector language
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?)?)?")

Json = Mapping[str, Any]  # a dashboard file is outside data: its shape is checked where it is read
Value = str | float | bool | datetime | None


class InfinityError(Exception):
    """The plugin would show an error, or less than was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field of a frame."""

    type: str
    values: list[Value]


@dataclass(frozen=True, slots=True)
class Frame:
    """The answer of one query; the plugin orders columns by name, not as declared. No rows: no columns either."""

    columns: dict[str, Column] = field(default_factory=dict)

    def __getitem__(self, name: str) -> list[Value]:
        return self.columns[name].values

    def __len__(self) -> int:
        return max((len(column.values) for column in self.columns.values()), default=0)

    def rows(self) -> list[dict[str, Value]]:
        """Turn the columns into one dict a row."""
        return [{name: column.values[i] for name, column in self.columns.items()} for i in range(len(self))]


def dashboard_targets(panels: list[Any]) -> Iterator[tuple[Json, Json]]:
    """Yield (panel, query) for every query, those of panels inside collapsed rows included."""
    for panel in panels:
        for target in panel.get("targets", []):
            yield panel, target
        yield from dashboard_targets(panel.get("panels", []))


def interpolate(text: str, variables: Mapping[str, str], *, default_format: str = "raw") -> str:
    """Fill in `$name`, `${name}` and `${name:format}`.

    Raises:
        InfinityError: Grafana would leave the variable in the text, or would ignore the format.
    """

    def fill(match: re.Match[str]) -> str:
        name, form = match[1] or match[3], match[2] or default_format
        if name not in variables:
            raise InfinityError(f"no variable {name!r} for {text!r}")
        if form not in _FORMATS:
            raise InfinityError(f"the format {form!r} in {text!r} is not one this model knows")
        return _FORMATS[form](variables[name])

    return _VARIABLE.sub(fill, text)


def request_url(target: Json, *, base_url: str, variables: Mapping[str, str]) -> str:
    """Build the URL that the plugin's backend requests: sorted by key, each key and value encoded once.

    A value percent-encoded in the query's own URL is decoded first; one in `url_options.params` is taken as it stands.
    """
    base, fragmentless = base_url.rstrip("/"), interpolate(target["url"], variables)
    split = urlsplit(fragmentless if fragmentless.startswith(base) else base + fragmentless)
    pairs = parse_qsl(split.query, keep_blank_values=True, strict_parsing=bool(split.query))
    for param in target["url_options"].get("params", []):
        pairs.append((param["key"], interpolate(param["value"], variables).strip(" ")))
    pairs.sort(key=lambda pair: pair[0])  # stable: repeated keys keep their order
    query = "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in pairs)
    return split._replace(query=query, fragment="").geturl()


def read_body(body: bytes) -> Any:
    """Parse an answer as strictly as the plugin: no NaN, no Infinity."""

    def refuse(constant: str) -> NoReturn:
        raise InfinityError(f"{constant} is not JSON")

    if not body:
        raise InfinityError("empty response body")
    return json.loads(body, parse_constant=refuse)


def read_frame(target: Json, body: Any) -> Frame:
    """Convert a fetched answer to the frame that the panel gets.

    Raises:
        InfinityError: the root is no flat array of objects, a column is missing in a row, a value is nested, or an
            integer cannot be a float64 exactly.
    """
    _check_query(target)
    if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
        raise InfinityError("the root must be an array of objects")
    if not body:
        return Frame()
    columns = {}
    for column in sorted(target["columns"], key=lambda column: str(column["text"])):
        raw = [_cell(row, column["selector"], index) for index, row in enumerate(body)]
        columns[column["text"]] = Column(type=column["type"], values=[_CONVERT[column["type"]](value) for value in raw])
    return Frame(columns)


def _check_query(target: Json) -> None:
    expected = {"type": "json", "source": "url", "parser": "backend", "format": "table", "root_selector": ""}
    wrong = {key: target.get(key) for key, value in expected.items() if target.get(key) != value}
    if wrong:
        raise InfinityError(f"this model knows only queries with {expected}, not {wrong}")
    if not target["columns"]:
        raise InfinityError("declare the columns: otherwise their types depend on the first row")
    for column in target["columns"]:
        if not _PLAIN_SELECTOR.fullmatch(column["selector"]) or column["type"] not in _CONVERT:
            raise InfinityError(f"column {column} has an unknown type or a selector that is no plain key")


def _cell(row: dict[str, Any], key: str, index: int) -> Any:
    if key not in row:
        raise InfinityError(f"row {index} has no key {key!r}, only {sorted(row)}")
    value = row[key]
    if isinstance(value, dict | list):
        raise InfinityError(f"row {index}: {key!r} is nested")
    if isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER:
        raise InfinityError(f"row {index}: {key!r} is {value}, above 2^53")
    return value


def _number(value: Any) -> Value:
    if isinstance(value, bool):
        return None
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _string(value: Any) -> Value:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        raise InfinityError(f"the number {value} in a string column would be shown as Go prints it, such as 1e+06")
    return value if isinstance(value, str) else None


def _boolean(value: Any) -> Value:
    if isinstance(value, str):
        return True if value.lower() == "true" else None
    return value if isinstance(value, bool) else None


def _timestamp(value: Any) -> Value:
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= round(value) <= 9999:
        # The only number that parses is a year of four digits: never what was meant.
        return datetime(round(value), 1, 1, tzinfo=UTC) if len(str(round(value))) == len("2006") else None
    return None


def _epoch(unit_s: float) -> Callable[[Any], Value]:
    def convert(value: Any) -> Value:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return datetime.fromtimestamp(int(value) * unit_s, tz=UTC)

    return convert


def _escape_regex(value: str) -> str:
    return re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", value)


_CONVERT: dict[str, Callable[[Any], Value]] = {
    "number": _number,
    "string": _string,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "timestamp_epoch": _epoch(0.001),
    "timestamp_epoch_s": _epoch(1.0),
}
# The default of a text without a format is `glob`, which leaves a single value as it is.
_FORMATS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "glob": str,
    "percentencode": lambda value: quote(value, safe="-_.~"),
    "regex": _escape_regex,
}
