"""How the settings model declares a setting: kind, default, doc, in one place each.

``setting`` makes a dataclass field that carries its declaration in the field's metadata; the loader, the reference
page and the sample file read it from there. Sections are dataclasses of settings; a section may be one table
(``[smtp]``) or an array of tables (``[[listener]]``). A table of an array may have settings of a section of its own
(``[listener.smtp]``), but for those that are declared as ``shared``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from relay.config.kinds import Kind
from relay.config.positions import KeyPath
from relay.config.secret import Secret, SecretText

REQUIRED: Final = object()
_SETTING: Final = "relay.setting"


class Setting(NamedTuple):
    """The declaration of one setting."""

    kind: Kind
    doc: str
    key: str
    """Its name in the file."""
    is_required: bool
    default: Any
    """The default, or a function that gives it."""
    default_doc: str
    """How the default is shown where it depends on the machine; otherwise empty."""
    example: Any
    """A value for the sample file, where there is no default to show; of a secret, the file that it stands in."""
    shared: str = ""
    """Why it is one for all tables that could have a value of their own; empty where they can."""

    @property
    def file_key(self) -> str:
        """The name of a secret's twin, the file that it stands in; empty for other settings."""
        return f"{self.key}_file" if isinstance(self.kind, SecretText) else ""


class Section(NamedTuple):
    """The declaration of one table, or of an array of tables."""

    of: type
    doc: str
    key: str
    is_array: bool


class Overrides(NamedTuple):
    """The declaration of a table, inside one of an array, with settings of a section in place of that section's. Its
    value is an ``Own``."""

    of: type
    """The section."""
    doc: str
    key: str
    example: str
    """The name of a setting for the sample file."""

    def settings(self) -> Iterator[tuple[str, Setting]]:
        """Attribute name and declaration of what may stand in it, and of what may not (``shared``)."""
        for name, declared in declarations(self.of):
            if isinstance(declared, Setting):
                yield name, declared


Own = tuple[tuple[str, Any], ...]
"""Attribute names and values of the settings that a table has of its own."""


def setting(
    kind: Kind,
    doc: str,
    *,
    default: Any = REQUIRED,
    default_doc: str = "",
    computed: Callable[[], Any] | None = None,
    example: Any = None,
    shared: str = "",
) -> Any:
    """A dataclass field for one setting.

    ``default`` is written as in the file (``"5m"``) and checked like it; ``computed`` gives a default that depends on
    the machine, described by ``default_doc``. Where there is no default to show, ``example`` stands in the sample file.
    ``shared`` is for sections that ``overrides`` names.
    """
    shown = example if example is None or isinstance(kind, SecretText) else kind.parse(example)
    if computed is not None:
        declared = Setting(kind, doc, "", False, computed, default_doc, shown, shared)
        return dataclasses.field(default_factory=computed, metadata={_SETTING: declared})
    if default is REQUIRED:
        return dataclasses.field(metadata={_SETTING: Setting(kind, doc, "", True, None, "", shown, shared)})
    value = None if default is None else kind.parse(default)
    declared = Setting(kind, doc, "", False, value, default_doc, shown, shared)
    return dataclasses.field(default=value, metadata={_SETTING: declared})


def section(of: type, doc: str) -> Any:
    """A dataclass field for the table that ``of`` declares."""
    return dataclasses.field(default_factory=of, metadata={_SETTING: Section(of, doc, "", False)})


def sections(of: type, doc: str, *, key: str, default: tuple[Any, ...] = ()) -> Any:
    """A dataclass field for an array of tables named ``key``, each declared by ``of``."""
    return dataclasses.field(default=default, metadata={_SETTING: Section(of, doc, key, True)})


def overrides(of: type, doc: str, *, example: str) -> Any:
    """A dataclass field for settings of the section ``of`` that a table of an array has of its own: an ``Own``."""
    return dataclasses.field(default=(), metadata={_SETTING: Overrides(of, doc, "", example)})


Declared = Setting | Section | Overrides


def declarations(of: type) -> Iterator[tuple[str, Declared]]:
    """Attribute name and declaration of everything ``of`` declares, in order; ``key`` is always filled in."""
    for field in dataclasses.fields(of):
        declared: Declared | None = field.metadata.get(_SETTING)
        if declared is not None:
            yield field.name, declared if declared.key else declared._replace(key=field.name)


def secrets(settings: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Secret]]:
    """Every secret in ``settings``, with the key path that gives it: its own, or that of its file."""
    for name, declared in declarations(type(settings)):
        value = getattr(settings, name)
        if isinstance(declared, Section) and declared.is_array:
            for number, table in enumerate(value):
                yield from secrets(table, (*path, declared.key, number))
        elif isinstance(declared, Section):
            yield from secrets(value, (*path, declared.key))
        elif isinstance(declared, Setting) and isinstance(value, Secret):
            yield (*path, declared.file_key if value.file is not None else declared.key), value
