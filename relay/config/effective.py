"""The settings in force, one by one, and where each is set: for ``relay config show``.

Not here: how they are printed (relay/cli/config.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from relay.config.declare import Overrides, Setting, declarations
from relay.config.load import Loaded
from relay.config.positions import KeyPath, show_path
from relay.config.secret import Secret
from relay.config.sources import Place


class Effective(NamedTuple):
    """One setting as it counts."""

    key: str
    """Its key path: ``smtp.max_line``, ``listener[2].port``."""
    text: str
    """Its value as TOML; empty when there is none. Of a secret, that there is one."""
    place: Place | None
    """Where it is set; None when it has its default."""
    is_secret: bool


def effective(loaded: Loaded) -> Iterator[Effective]:
    """Every setting, in the order of the model."""
    return _below(loaded, loaded.config, ())


def _below(loaded: Loaded, settings: Any, path: KeyPath) -> Iterator[Effective]:
    for name, declared in declarations(type(settings)):
        value, here = getattr(settings, name), (*path, declared.key)
        if isinstance(declared, Setting):
            yield _of_setting(loaded, declared, value, here)
        elif isinstance(declared, Overrides):
            known = dict(declared.settings())
            for each, own in value:
                yield _of_setting(loaded, known[each], own, (*here, known[each].key))
        elif declared.is_array:
            for number, table in enumerate(value):
                yield from _below(loaded, table, (*here, number))
        else:
            yield from _below(loaded, value, here)


def _of_setting(loaded: Loaded, declared: Setting, value: Any, path: KeyPath) -> Effective:
    text = "" if value is None else declared.kind.show(value)
    place = loaded.origin(path)
    if isinstance(value, Secret) and value.file is not None:
        place = loaded.origin((*path[:-1], declared.file_key))
    return Effective(show_path(path), text, place, isinstance(value, Secret))
