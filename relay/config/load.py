"""Reads the configuration: a TOML file, then the environment over it, into one ``Config``.

All errors are collected and raised together, each with file, line and key path. The environment variable of
``smtp.max_line`` is ``RELAY_SMTP__MAX_LINE``, that of ``hostname`` is ``RELAY_HOSTNAME``; lists may be written with
commas or as TOML, arrays of tables as a TOML list (``RELAY_LISTENER='[{name = "mx", ...}]'``).

A variable ``RELAY_X`` that is not a setting is an error when it has ``__`` in it or looks like a misspelled setting;
others are left alone, because Kubernetes sets ``RELAY_PORT`` and the like for a service named relay.

Not here: which settings there are (relay/config/model.py) and what must hold between them (relay/config/check.py).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeGuard

from relay.config.check import problems
from relay.config.declare import Section, Setting, declarations
from relay.config.errors import ConfigError, ConfigErrors
from relay.config.kinds import FilePath, Mail, parse_toml_value
from relay.config.model import Config, RelayDomain
from relay.config.positions import KeyPath, key_lines

PREFIX: Final = "RELAY_"
NOT_SETTINGS: Final = frozenset({"RELAY_CONFIG", "RELAY_BUILD", "RELAY_EXT", "RELAY_CI"})
"""Variables of the program, its build and its tests."""
_LARGEST_FILE: Final = 16 * 2**20


class Loaded(NamedTuple):
    """A checked configuration, and where each of its settings stands."""

    config: Config
    locate: Callable[[KeyPath, str], ConfigError]
    """What is to be said about the setting at a key path, with the file (or variable) and the line it stands in."""


def load(path: Path | None, environ: Mapping[str, str], defaults: Config | None = None) -> Config:
    """The configuration in ``path`` (None: no file) with the overrides in ``environ``. What neither sets is as in
    ``defaults``, or as the model says. Raises ConfigErrors."""
    return load_located(path, environ, defaults).config


def load_located(path: Path | None, environ: Mapping[str, str], defaults: Config | None = None) -> Loaded:
    """As ``load``, for those who have more to say about the settings. Raises ConfigErrors."""
    reader = _Reader(defaults or Config())
    raw = reader.read_file(path) if path is not None else {}
    reader.read_environment(environ)
    config: Config = reader.table(Config, raw, (), reader.file, reader.defaults)
    config = reader.with_recipient_files(config)
    if not reader.errors:
        for key_path, message in problems(config):
            reader.fail(reader.origin_of(key_path), key_path, message)
    if reader.errors:
        raise ConfigErrors(sorted(reader.errors, key=lambda error: (error.source, error.line)))
    return Loaded(config, reader.located)


@dataclass
class _Origin:
    """Where values come from: a file with its lines, or one environment variable."""

    source: str
    base: Path
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line of ``path``, or of the nearest table around it; 0 when there is none."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


class _Reader:
    def __init__(self, defaults: Config) -> None:
        self.defaults = defaults
        self.errors: list[ConfigError] = []
        self.file = _Origin("defaults", Path.cwd())
        self._overrides: dict[KeyPath, tuple[_Origin, str]] = {}

    def fail(self, origin: _Origin, path: KeyPath, message: str) -> None:
        self.errors.append(ConfigError(origin.source, origin.line(path), show_path(path), message))

    def located(self, path: KeyPath, message: str) -> ConfigError:
        """``message`` about the setting at ``path``, with where it stands."""
        origin = self.origin_of(path)
        return ConfigError(origin.source, origin.line(path), show_path(path), message)

    def origin_of(self, path: KeyPath) -> _Origin:
        """Where the value at ``path`` came from."""
        for length in range(len(path), 0, -1):
            if override := self._overrides.get(path[:length]):
                return override[0]
        return self.file

    def read_file(self, path: Path) -> dict[str, Any]:
        """The tables in the file; what keeps it from being read at all is raised at once."""
        text = _read_text(path)
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as fault:
            raise ConfigErrors([_syntax_error(path, text, fault)]) from fault
        except RecursionError as fault:
            raise ConfigErrors([ConfigError(str(path), 0, "", "is nested too deep")]) from fault
        self.file = _Origin(str(path), path.absolute().parent, key_lines(text))
        return raw

    def read_environment(self, environ: Mapping[str, str]) -> None:
        known = _variables()
        for name in sorted(environ):
            if not name.startswith(PREFIX) or name in NOT_SETTINGS:
                continue
            origin = _Origin(f"environment variable {name}", Path.cwd())
            near = get_close_matches(name, known, 1, cutoff=0.85)
            if name in known:
                self._overrides[known[name]] = (origin, environ[name])
            elif "__" in name or near:
                hint = f"; did you mean {near[0]}?" if near else ""
                self.fail(origin, (), f"there is no such setting{hint}")

    def table(self, of: type, raw: dict[str, Any], path: KeyPath, origin: _Origin, defaults: Any) -> Any:
        """``raw`` as an ``of``. After an error the value is only there so that reading can go on."""
        known = {declared.key: (name, declared) for name, declared in declarations(of)}
        for key in raw:
            if key not in known:
                self.fail(origin, (*path, key), _unknown(key, list(known), path))
        values = {
            name: self._member(declared, raw, (*path, key), origin, getattr(defaults, name, None))
            for key, (name, declared) in known.items()
        }
        return of(**values)

    def _member(
        self, declared: Setting | Section, raw: dict[str, Any], path: KeyPath, origin: _Origin, default: Any
    ) -> Any:
        if isinstance(declared, Setting):
            return self._setting(declared, raw, path, origin, default)
        if declared.is_array:
            return self._array(declared, raw, path, origin, default)
        table = raw.get(declared.key, {})
        if not isinstance(table, dict):
            self.fail(origin, path, f"must be a table: [{declared.key}]")
            table = {}
        return self.table(declared.of, table, path, origin, default)

    def _array(
        self, declared: Section, raw: dict[str, Any], path: KeyPath, origin: _Origin, default: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        tables: Any = raw.get(declared.key)
        if override := self._overrides.get(path):
            origin, text = override
            try:
                tables = parse_toml_value(text)
            except ValueError as fault:
                self.fail(origin, path, str(fault))
                return default
        if tables is None:
            return default
        if not _are_tables(tables):
            self.fail(origin, path, f"must be an array of tables: [[{declared.key}]]")
            return default
        return tuple(
            self.table(declared.of, table, (*path, number), origin, None) for number, table in enumerate(tables)
        )

    def _setting(self, declared: Setting, raw: dict[str, Any], path: KeyPath, origin: _Origin, default: Any) -> Any:
        override = self._overrides.get(path)
        try:
            if override:
                origin = override[0]
                value = declared.kind.parse_text(override[1])
            elif declared.key in raw:
                value = declared.kind.parse(raw[declared.key])
            else:
                return self._not_given(declared, default, path, origin)
        except ValueError as fault:
            self.fail(origin, path, str(fault))
            return _default(declared, default, path)
        return (origin.base / value).absolute() if isinstance(declared.kind, FilePath) else value

    def _not_given(self, declared: Setting, default: Any, path: KeyPath, origin: _Origin) -> Any:
        if declared.is_required:
            self.fail(origin, path, "is missing")
        return _default(declared, default, path)

    def with_recipient_files(self, config: Config) -> Config:
        """``config`` with the recipients that stand in files of their own."""
        relay_domains = tuple(
            self._with_recipient_file(relayed, ("relay_domain", number))
            for number, relayed in enumerate(config.relay_domains)
        )
        return replace(config, relay_domains=relay_domains)

    def _with_recipient_file(self, relayed: RelayDomain, path: KeyPath) -> RelayDomain:
        if relayed.recipients_file is None:
            return relayed
        if relayed.recipients_file.is_fifo():  # reading might never end
            self.fail(self.origin_of(path), (*path, "recipients_file"), "is a pipe, not a file")
            return relayed
        try:
            lines = relayed.recipients_file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as fault:
            reason = getattr(fault, "strerror", None) or "it is not UTF-8 text"
            self.fail(self.origin_of(path), (*path, "recipients_file"), f"cannot be read: {reason}")
            return relayed
        recipients = list(relayed.recipients or ())
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            try:
                recipients += [Mail(may_be_elsewhere=True).parse(text)] if text else []
            except ValueError as fault:
                self.errors.append(ConfigError(str(relayed.recipients_file), number, "", str(fault)))
        return replace(relayed, recipients=tuple(dict.fromkeys(recipients)))


def show_path(path: KeyPath) -> str:
    """``path`` as people read it, arrays counted from 1: ``listener[2].port``."""
    return "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def variable_of(path: KeyPath) -> str:
    """The environment variable that overrides the setting at ``path``."""
    return PREFIX + "__".join(str(step).upper() for step in path)


def _variables() -> dict[str, KeyPath]:
    """Environment variable of everything that can be overridden."""
    paths: list[KeyPath] = []
    for _, declared in declarations(Config):
        if isinstance(declared, Setting) or declared.is_array:
            paths.append((declared.key,))
        else:
            paths += [(declared.key, inner.key) for _, inner in declarations(declared.of)]
    return {variable_of(path): path for path in paths}


def _default(declared: Setting, default: Any, path: KeyPath) -> Any:
    """The value of a setting that is not given: inside an array of tables the model's, else that of the defaults."""
    is_in_array = any(isinstance(step, int) for step in path)
    if not is_in_array:
        return default
    return declared.default() if callable(declared.default) else declared.default


def _are_tables(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _unknown(key: str, known: list[str], path: KeyPath) -> str:
    """What to say about a key that is no setting here: the likely spelling, or the table it belongs to."""
    if near := get_close_matches(key, known, 1):
        return f"there is no such setting; did you mean {near[0]}?"
    for _, declared in declarations(Config):
        if isinstance(declared, Section) and path != (declared.key,) and declared.key != key:
            if key in [inner.key for _, inner in declarations(declared.of)]:
                table = f"[[{declared.key}]]" if declared.is_array else f"[{declared.key}]"
                return f"there is no such setting here; it belongs in {table}"
        elif declared.key == key and path:
            return "there is no such setting here; it stands at the top of the file, before the first table"
    return "there is no such setting"


def _read_text(path: Path) -> str:
    line = 0
    try:
        with path.open("rb") as file:
            octets = file.read(_LARGEST_FILE + 1)
        if len(octets) <= _LARGEST_FILE:
            return octets.decode().replace("\r\n", "\n")
        reason = "is too large for a configuration file"
    except OSError as fault:
        reason = f"cannot be read: {fault.strerror}"
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        reason = "is not UTF-8 text"
    raise ConfigErrors([ConfigError(str(path), line, "", reason)])


def _syntax_error(path: Path, text: str, fault: tomllib.TOMLDecodeError) -> ConfigError:
    message = str(fault)
    place = re.search(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$", message)
    line = int(place[1]) if place and place[1] else text.count("\n") + 1
    return ConfigError(str(path), line, "", f"is not TOML: {message[: place.start()] if place else message}")
