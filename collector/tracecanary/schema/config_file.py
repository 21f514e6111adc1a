"""Configuration files: reading them, and finding everything that is wrong with one at once.

Theory of operation. The file is TOML, one table ("section") a subject. Each room reads its own sections in its
`config.py` and turns them into dataclasses. A value that can't be used is noted as a problem and replaced by its
default, so that reading goes on; a key of a section that nobody asked for is a problem, too. `ConfigFile.check` raises
all that was noted, in one error.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from tracecanary.schema.errors import ConfigFileError

CONFIG_VARIABLE = "TRACECANARY_CONFIG"
# Every section that some room reads: a room skips those of the others, and must tell them from misspelt ones.
SECTIONS = ("cohorts", "compaction", "evaluators", "features", "links", "metrics", "models", "prices", "retention")
# No configuration comes near it; a wrong path may name something large.
MAX_FILE_BYTES = 4 * 1024 * 1024
_MAX_SHOWN = 80


class Section:
    """One table of the file. Reading a key returns its value, or the default with the problem noted."""

    def __init__(self, name: str, table: Mapping[str, Any], file: ConfigFile) -> None:
        self.name = name
        self._table = table
        self._file = file
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._value(key)
        if isinstance(value, bool):
            return value
        if value is not None:
            self.note(key, value, "must be true or false")
        return default

    def number(self, key: str) -> float | None:
        """Return a finite number; None when it is absent."""
        value = self._value(key)
        number = _finite(value)
        if value is not None and number is None:
            self.note(key, value, "must be a finite number")
        return number

    def text(self, key: str) -> str | None:
        """Return a text that is not empty; None when it is absent."""
        value = self._value(key)
        if _is_text(value):
            return str(value)
        if value is not None:
            self.note(key, value, f'must be a text in quotes that is not empty, such as {key} = "..."')
        return None

    def decimal(self, key: str, *, at_most: int, places: int) -> Decimal | None:
        """Return a number from 0 to `at_most` as it is written, of `places` decimals at most; None when absent."""
        value = self._value(key)
        number = None if _finite(value) is None else Decimal(value)
        if number is not None and 0 <= number <= at_most and number == round(number, places):
            return number
        if value is not None:
            self.note(key, value, f"must be a number from 0 to {at_most:,} with at most {places} decimals")
        return None

    def time(self, key: str) -> datetime | None:
        """Return a time in UTC; a date is its midnight. None when it is absent."""
        value = self._value(key)
        if isinstance(value, datetime) and value.tzinfo is not None:
            return value.astimezone(UTC)
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, time(), UTC)
        if value is not None:
            self.note(key, value, f"must be a date, or a time with its offset, such as {key} = 2026-01-31T00:00:00Z")
        return None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts that are not empty."""
        value = self._value(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.note(key, value, f'must be a list of texts, such as {key} = ["..."]')
            return ()
        for item in value:
            if not _is_text(item):
                self.note(key, item, "has an item that is no text, or an empty one; write it in quotes, or remove it")
        return tuple(item for item in value if _is_text(item))

    def text_map(self, key: str) -> dict[str, str]:
        """Return a table whose values are texts."""
        value = self._value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.note(key, value, f'must be a table of texts, such as {key} = {{ "name" = "..." }}')
            return {}
        for name, item in value.items():
            if not _is_text(item) or not name:
                self.note(_dotted(key, name), item, "must be a text in quotes, and neither it nor its key empty")
        return {name: item for name, item in value.items() if name and _is_text(item)}

    def names(self, key: str) -> dict[str, str]:
        """Return a table of texts; a list of texts stands for a table of each to itself."""
        if isinstance(self._table.get(key), list):
            return {name: name for name in self.texts(key)}
        return self.text_map(key)

    def path(self, key: str) -> Path | None:
        """Return a path, relative ones from the folder of the file on; None when it is absent."""
        value = self._value(key)
        if value is None:
            return None
        if not _is_text(value) or "\0" in value:
            self.note(key, value, f'must be a path in quotes, such as {key} = "{key}.toml"')
            return None
        return self._file.path.parent / Path(value).expanduser()

    def tables(self) -> dict[str, Section]:
        """Return every key of this section, whatever its name, as a section of its own."""
        found = {}
        for key in self._table:
            value = self._value(key)
            if isinstance(value, dict):
                found[key] = self._file.subsection(_dotted(self.name, key), value)
            else:
                self.note(key, value, f"must be a table, such as [{_dotted(self.name, key)}]")
        return found

    def table(self, key: str) -> Section:
        """Return a table within this section; an empty one when it is absent."""
        value = self._value(key)
        if value is not None and not isinstance(value, dict):
            self.note(key, value, f"must be a table, such as [{_dotted(self.name, key)}]")
            value = None
        return self._file.subsection(_dotted(self.name, key), value or {})

    def items(self, key: str) -> list[Section]:
        """Return the tables of a list within this section, in their order; none when it is absent."""
        value = self._value(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.note(key, value, f"must be a list of tables, each begun by [[{self.name.partition(' ')[0]}.{key}]]")
            return []
        return [
            self._file.subsection(f"{self.name}.{key} {number}", item) for number, item in enumerate(value, start=1)
        ]

    def note(self, key: str, value: object, remedy: str) -> None:
        """Note that `value` of `key` can't be used; `remedy` goes on after the value."""
        self._file.note(f"{_where(self.name, key)} is {_shown(value)}, but {remedy}")

    def note_empty(self, wanted: str) -> None:
        """Note that the section says nothing, if it has no key; `wanted` names those that it may have."""
        if not self._table:
            self._file.note(f"[{self.name}] is empty. Give it {wanted}, or remove it")

    def note_missing(self, key: str, example: str) -> None:
        """Note that `key` is missing, if it is."""
        if key not in self._table:
            self._file.note(f"{_where(self.name, key)} is missing. Add it: {example}")

    def note_unknown_keys(self) -> None:
        """Note the keys that nobody asked for."""
        for key in self._table:
            if key not in self._asked:
                self._file.note(f"{_where(self.name, key)} is no key of this section. {_remedy(key, self._asked)}")

    def _value(self, key: str) -> Any:
        self._asked.add(key)
        return self._table.get(key)


class ConfigFile:
    """A configuration file that is being read, and the problems found so far."""

    def __init__(self, path: Path, document: Mapping[str, Any], sections: Collection[str] = SECTIONS) -> None:
        self.path = path
        self._known = sections
        self._listed: set[str] = set()
        self._document = document
        self._problems: list[str] = []
        self._sections: dict[str, Section] = {}

    def section(self, name: str) -> Section:
        """Return the section `name`, one of `SECTIONS`; an empty one when it is absent."""
        table = self._document.get(name)
        return self.subsection(name, table if isinstance(table, dict) else {})

    def items(self, name: str) -> list[Section]:
        """Return the tables of a list such as [[price]], in their order; none when it is absent."""
        self._listed.add(name)
        tables = self._document.get(name, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            return []  # which `check` says
        return [self.subsection(f"{name} {number}", table) for number, table in enumerate(tables, start=1)]

    def subsection(self, name: str, table: Mapping[str, Any]) -> Section:
        """Return a section over `table`; the same one for the same name."""
        return self._sections.setdefault(name, Section(name, table, self))

    def note(self, problem: str) -> None:
        """Note a problem."""
        if problem not in self._problems:
            self._problems.append(problem)

    def check(self) -> None:
        """Raise what was found.

        Raises:
            ConfigFileError: There are problems; it lists every one.
        """
        for name, table in self._document.items():
            if name not in self._known:
                self.note(f"[{_quoted(name)}] is no section. {_remedy(name, self._known)}")
            elif name in self._listed:
                if not isinstance(table, list) or not all(isinstance(item, dict) for item in table):
                    self.note(f"{name} is {_shown(table)}, but must be a list of tables, each begun by [[{name}]]")
            elif not isinstance(table, dict):
                self.note(f"{name} is {_shown(table)}, but must be a table, such as [{name}]")
        for section in list(self._sections.values()):
            section.note_unknown_keys()
        if self._problems:
            raise ConfigFileError(self.path, self._problems)

    def include(self, error: ConfigFileError) -> None:
        """Note the problems of another file that this one names."""
        for problem in error.problems:
            self.note(f"{error.path}: {problem}")


def read_config_file(path: Path, sections: Collection[str] = SECTIONS) -> ConfigFile:
    """Read the configuration file at `path`, which may have `sections`.

    Raises:
        ConfigFileError: It can't be read, or is no TOML.
    """
    path = path.expanduser().absolute()
    try:
        return ConfigFile(path, _parsed(_body(path)), sections)
    except ValueError as error:
        raise ConfigFileError(path, [str(error)]) from error


def _body(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # to read a pipe or a device might take for ever
            raise ValueError("this is no regular file. Give the path of a TOML file")
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        remedy = "Check the path; one that a file names starts at the folder of that file"
        raise ValueError(f"there is no such file. {remedy}") from None
    except OSError as error:
        raise ValueError(f"it can't be read: {error.strerror}. Check the path and its rights") from error
    if len(body) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES:,} bytes. Is it a configuration file?")
    return body


def _parsed(body: bytes) -> dict[str, Any]:
    import tomllib  # an application without a configuration file needs no parser

    try:
        return tomllib.loads(body.decode("utf-8-sig"), parse_float=Decimal)  # 0.1 is to stay 0.1
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start}). Save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is no TOML: {error}. Mend that line; https://toml.io says how TOML is written") from error
    except RecursionError as error:
        raise ValueError("its tables or lists are nested too deeply. Is it a configuration file?") from error


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool | Decimal) else repr(value)
    if isinstance(value, date | time):
        text = value.isoformat()
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _where(section: str, key: str) -> str:
    return f"[{section}] {key}"


def _dotted(*keys: str) -> str:
    first, *others = keys
    return ".".join([first, *map(_quoted, others)])


def _quoted(key: str) -> str:
    # As TOML writes it: a bare key has letters, digits, "-" and "_" only.
    if key.isascii() and key.replace("-", "a").replace("_", "a").isalnum():
        return key
    return f'"{key.encode("unicode_escape").decode()}"'


def _remedy(key: str, known: Iterable[str]) -> str:
    import difflib  # needed for a mistake only

    close = difflib.get_close_matches(key, sorted(known), n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"Known are {', '.join(sorted(known))}." if known else "It has no keys."
