"""Reads the configuration: its files (sources.py), then the environment over them, into one ``Config``.

All errors are collected and raised together, each with file, line and key path. The environment variable of
``smtp.max_line`` is ``RELAY_SMTP__MAX_LINE``, that of ``hostname`` is ``RELAY_HOSTNAME``; lists may be written with
commas or as TOML, arrays of tables as a TOML list (``RELAY_LISTENER='[{name = "mx", ...}]'``).

A secret ``admin.token`` may stand in a file instead, which ``admin.token_file`` or ``RELAY_ADMIN__TOKEN_FILE`` names;
it is read each time that the configuration is.

A variable ``RELAY_X`` that is not a setting is an error when it has ``__`` in it or looks like a misspelled setting;
others are left alone, because Kubernetes sets ``RELAY_PORT`` and the like for a service named relay.

Not here: which settings there are (relay/config/model.py) and what must hold between them (relay/config/check.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

from relay.config import sources
from relay.config.check import problems
from relay.config.declare import Declared, Overrides, Own, Section, Setting, declarations
from relay.config.errors import ConfigError, ConfigErrors
from relay.config.kinds import FilePath, Mail, parse_toml_value
from relay.config.model import Config, RelayDomain
from relay.config.positions import KeyPath, show_path
from relay.config.secret import Secret, SecretText, read_secret
from relay.config.sources import Place, Tree, are_tables, main_file

PREFIX: Final = "RELAY_"
NOT_SETTINGS: Final = frozenset({"RELAY_CONFIG", "RELAY_BUILD", "RELAY_EXT", "RELAY_CI"})
"""Variables of the program, its build and its tests."""


class Loaded(NamedTuple):
    """A checked configuration, and where each of its settings stands."""

    config: Config
    locate: Callable[[KeyPath, str], ConfigError]
    """What is to be said about the setting at a key path, with the file (or variable) and the line it stands in."""
    origin: Callable[[KeyPath], Place | None]
    """Where the setting at a key path is set; None when it has its default."""
    files: tuple[Path, ...]
    """What was read, in order."""


def load(path: Path | None, environ: Mapping[str, str], defaults: Config | None = None) -> Config:
    """The configuration in ``path`` (a file, with the folder beside it, or the folder that it is in; None: no file)
    with the overrides in ``environ``. What neither sets is as in ``defaults``, or as the model says. Raises
    ConfigErrors."""
    return load_located(path, environ, defaults).config


def load_located(path: Path | None, environ: Mapping[str, str], defaults: Config | None = None) -> Loaded:
    """As ``load``, for those who have more to say about the settings. Raises ConfigErrors."""
    reader = _Reader(sources.read(main_file(path)) if path is not None else Tree(), defaults or Config())
    reader.read_environment(environ)
    config: Config = reader.table(Config, reader.tree.values, (), reader.defaults)
    config = reader.with_recipient_files(config)
    if not reader.errors:
        for key_path, message in problems(config):
            reader.fail(key_path, message)
    if reader.errors:
        order = {str(file): number for number, file in enumerate(reader.tree.files)}
        raise ConfigErrors(
            sorted(reader.errors, key=lambda each: (order.get(each.source, len(order)), each.source, each.line))
        )
    return Loaded(config, reader.located, reader.origin, tuple(reader.tree.files))


class _Override(NamedTuple):
    """What an environment variable sets."""

    variable: str
    text: str

    @property
    def place(self) -> Place:
        return Place(f"environment variable {self.variable}", 0)


class _Reader:
    """Reads a model, which is the type of ``defaults``, out of ``tree`` and the environment."""

    def __init__(self, tree: Tree, defaults: Any) -> None:
        self.tree = tree
        self.defaults = defaults
        self.errors: list[ConfigError] = tree.errors
        self._overrides: dict[KeyPath, _Override] = {}

    def fail(self, path: KeyPath, message: str) -> None:
        self.errors.append(self.located(path, message))

    def located(self, path: KeyPath, message: str) -> ConfigError:
        """``message`` about the setting at ``path``, with where it stands."""
        return ConfigError(*self._place(path), show_path(path), message)

    def _place(self, path: KeyPath) -> Place:
        return self._override_of(path) or self.tree.nearest(path)

    def origin(self, path: KeyPath) -> Place | None:
        """Where the value at ``path`` is set; None when it is set nowhere."""
        return self._override_of(path) or self.tree.place(path)

    def _override_of(self, path: KeyPath) -> Place | None:
        """The variable that sets the value at ``path``, or the array of tables that it is in."""
        for length in range(len(path), 0, -1):
            if override := self._overrides.get(path[:length]):
                return override.place
        return None

    def read_environment(self, environ: Mapping[str, str]) -> None:
        known = _variables(type(self.defaults))
        for name in sorted(environ):
            if not name.startswith(PREFIX) or name in NOT_SETTINGS:
                continue
            override = _Override(name, environ[name])
            near = get_close_matches(name, known, 1, cutoff=0.85)
            if name in known:
                self._overrides[known[name]] = override
            elif "__" in name or near:
                hint = f"; did you mean {near[0]}?" if near else ""
                self.errors.append(ConfigError(*override.place, "", f"there is no such setting{hint}"))

    def table(self, of: type, raw: dict[str, Any], path: KeyPath, defaults: Any) -> Any:
        """``raw`` as an ``of``. After an error the value is only there so that reading can go on."""
        known = dict(declarations(of))
        names = [name for declared in known.values() for name in _names(declared)]
        for key in raw:
            if key not in names:
                self.fail((*path, key), _unknown(key, names, path))
        values = {
            name: self._member(declared, raw, (*path, declared.key), getattr(defaults, name, None))
            for name, declared in known.items()
        }
        return of(**values)

    def _member(self, declared: Declared, raw: dict[str, Any], path: KeyPath, default: Any) -> Any:
        if isinstance(declared, Setting):
            return self._setting(declared, raw, path, default)
        if isinstance(declared, Section) and declared.is_array:
            return self._array(declared, raw, path, default)
        table = raw.get(declared.key, {})
        if not isinstance(table, dict):
            self.fail(path, f"must be a table: [{'.'.join(step for step in path if isinstance(step, str))}]")
            table = {}
        if isinstance(declared, Overrides):
            return self._own(declared, table, path)
        return self.table(declared.of, table, path, default)

    def _own(self, declared: Overrides, raw: dict[str, Any], path: KeyPath) -> Own:
        """The settings in ``raw`` that count in place of the section's."""
        known = dict(declared.settings())
        names = {key: name for name, setting in known.items() for key in _names(setting)}
        for key in raw:
            if key not in names:
                self.fail((*path, key), _unknown(key, list(names), path))
            elif reason := known[names[key]].shared:
                self.fail((*path, key), f"cannot be set here: {reason}; set {declared.key}.{key}")
        given = [name for name, setting in known.items() if not setting.shared and {*_names(setting)} & {*raw}]
        return tuple((name, self._setting(known[name], raw, (*path, known[name].key), None)) for name in given)

    def _array(self, declared: Section, raw: dict[str, Any], path: KeyPath, default: tuple[Any, ...]) -> Any:
        tables: Any = raw.get(declared.key)
        if override := self._overrides.get(path):
            try:
                tables = parse_toml_value(override.text)
            except ValueError as fault:
                self.fail(path, str(fault))
                return default
        if tables is None:
            return default
        if not are_tables(tables):
            self.fail(path, f"must be an array of tables: [[{declared.key}]]")
            return default
        return tuple(self.table(declared.of, table, (*path, number), None) for number, table in enumerate(tables))

    def _setting(self, declared: Setting, raw: dict[str, Any], path: KeyPath, default: Any) -> Any:
        if declared.file_key:
            return self._secret(declared, raw, path, default)
        override = self._overrides.get(path)
        if override is None and declared.key not in raw:
            return self._not_given(declared, default, path)
        try:
            value = declared.kind.parse_text(override.text) if override else declared.kind.parse(raw[declared.key])
        except ValueError as fault:
            self.fail(path, str(fault))
            return _default(declared, default, path)
        return self._absolute(value, path) if isinstance(declared.kind, FilePath) else value

    def _absolute(self, file: Path, path: KeyPath) -> Path:
        """``file`` at ``path``: from the folder of the configuration file, or for a variable from the current one."""
        base = Path.cwd() if self._override_of(path) else self.tree.base
        return (base / file).absolute()

    def _not_given(self, declared: Setting, default: Any, path: KeyPath) -> Any:
        if declared.is_required:
            self.fail(path, "is missing")
        return _default(declared, default, path)

    # ---- secrets ----------------------------------------------------------------------------------------------------

    def _secret(self, declared: Setting, raw: dict[str, Any], path: KeyPath, default: Any) -> Any:
        """The secret that stands at ``path``, or in the file that its twin names. Variables count before files,
        whichever of the two they set."""
        assert isinstance(declared.kind, SecretText)
        file_path: KeyPath = (*path[:-1], declared.file_key)
        pair = {path: declared.key, file_path: declared.file_key}
        given: dict[KeyPath, Any] = {at: self._overrides[at].text for at in pair if at in self._overrides}
        given = given or {at: raw[key] for at, key in pair.items() if key in raw}
        if not given:
            return self._not_given(declared, default, path)
        if len(given) > 1:
            self.fail(file_path, f"is set beside {declared.key} ({self._place(path)}): take one of them out")
            return _default(declared, default, path)
        ((at, value),) = given.items()
        try:
            if at == path:
                return declared.kind.parse(value)
            return self._secret_in(declared.kind, self._absolute(FilePath().parse(value), at))
        except ValueError as fault:
            self.fail(at, str(fault))
            return _default(declared, default, path)

    def _secret_in(self, kind: SecretText, file: Path) -> Secret:
        try:
            return Secret(kind.check(read_secret(file)), file)
        except ValueError as fault:
            raise ValueError(f"{file} {fault}") from None

    # ---- recipients -------------------------------------------------------------------------------------------------

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
            self.fail((*path, "recipients_file"), "is a pipe, not a file")
            return relayed
        try:
            lines = relayed.recipients_file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as fault:
            reason = getattr(fault, "strerror", None) or "it is not UTF-8 text"
            self.fail((*path, "recipients_file"), f"cannot be read: {reason}")
            return relayed
        recipients = list(relayed.recipients or ())
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            try:
                recipients += [Mail(may_be_elsewhere=True).parse(text)] if text else []
            except ValueError as fault:
                self.errors.append(ConfigError(str(relayed.recipients_file), number, "", str(fault)))
        return replace(relayed, recipients=tuple(dict.fromkeys(recipients)))


def variable_of(path: KeyPath) -> str:
    """The environment variable that overrides the setting at ``path``."""
    return PREFIX + "__".join(str(step).upper() for step in path)


def _variables(of: type) -> dict[str, KeyPath]:
    """Environment variable of everything in the model ``of`` that can be overridden."""
    paths: list[KeyPath] = []
    for _, declared in declarations(of):
        if isinstance(declared, Section) and not declared.is_array:
            paths += [(declared.key, name) for _, inner in declarations(declared.of) for name in _names(inner)]
        else:
            paths += [(name,) for name in _names(declared)]
    return {variable_of(path): path for path in paths}


def _names(declared: Declared) -> Iterator[str]:
    """The keys that give ``declared`` its value."""
    yield declared.key
    if isinstance(declared, Setting) and declared.file_key:
        yield declared.file_key


def _default(declared: Setting, default: Any, path: KeyPath) -> Any:
    """The value of a setting that is not given: inside an array of tables the model's, else that of the defaults."""
    is_in_array = any(isinstance(step, int) for step in path)
    if not is_in_array:
        return default
    return declared.default() if callable(declared.default) else declared.default


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
