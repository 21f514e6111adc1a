"""The configuration file: reading it, and finding everything that is wrong with it at once.

Theory of operation. The file is TOML, one table ("section") a subject. Each room reads its own sections in its
`config.py` and turns them into dataclasses. A value that can't be used is noted as a problem and replaced by its
default, so that reading goes on; a key of a section that nobody asked for is a problem, too. `ConfigFile.check` raises
all that was noted, in one error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tracecanary.schema.errors import ConfigFileError

CONFIG_VARIABLE = "TRACECANARY_CONFIG"
# Every section that some room reads: a room skips those of the others, and must tell them from misspelt ones.
SECTIONS = ("cohorts", "evaluators", "features", "links", "models", "prices")
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

    def note(self, key: str, value: object, remedy: str) -> None:
        """Note that `value` of `key` can't be used; `remedy` goes on after the value."""
        self._file.note(f"{_where(self.name, key)} is {_shown(value)}, but {remedy}")

    def note_empty(self, wanted: str) -> None:
        """Note that the section says nothing, if it has no key; `wanted` names those that it may have."""
        if not self._table:
            self._file.note(f"[{self.name}] is empty. Give it {wanted}, or remove it")

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

    def __init__(self, path: Path, document: Mapping[str, Any]) -> None:
        self.path = path
        self._document = document
        self._problems: list[str] = []
        self._sections: dict[str, Section] = {}

    def section(self, name: str) -> Section:
        """Return the section `name`, one of `SECTIONS`; an empty one when it is absent."""
        table = self._document.get(name)
        return self.subsection(name, table if isinstance(table, dict) else {})

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
            if name not in SECTIONS:
                self.note(f"[{_quoted(name)}] is no section. {_remedy(name, SECTIONS)}")
            elif not isinstance(table, dict):
                self.note(f"{name} is {_shown(table)}, but must be a table, such as [{name}]")
        for section in list(self._sections.values()):
            section.note_unknown_keys()
        if self._problems:
            raise ConfigFileError(self.path, self._problems)


def read_config_file(path: Path) -> ConfigFile:
    """Read the configuration file at `path`.

    Raises:
        ConfigFileError: It can't be read, or is no TOML.
    """
    path = path.expanduser().absolute()
    try:
        return ConfigFile(path, _parsed(_body(path)))
    except ValueError as error:
        raise ConfigFileError(path, [str(error)]) from error


def _body(path: Path) -> bytes:
    if not path.exists():
        raise ValueError(f"there is no such file. Check the path in --config or {CONFIG_VARIABLE}")
    if not path.is_file():  # to read a pipe or a device might take for ever
        raise ValueError("this is no regular file. Give the path of a TOML file")
    try:
        with path.open("rb") as file:
            body = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"it can't be read: {error.strerror}. Check its rights") from error
    if len(body) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES:,} bytes. Is it a configuration file?")
    return body


def _parsed(body: bytes) -> dict[str, Any]:
    import tomllib  # an application without a configuration file needs no parser

    try:
        return tomllib.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start}). Save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is no TOML: {error}. Mend that line; https://toml.io says how TOML is written") from error
    except RecursionError as error:
        raise ValueError("its tables or lists are nested too deeply. Is it a configuration file?") from error


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    text = "true" if value is True else "false" if value is False else repr(value)
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
