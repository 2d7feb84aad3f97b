"""The reference page and the sample file, both made from the settings model.

docs/CONFIG.md and docs/relay.toml hold their text; a test fails when those are stale, and another loads the sample
with every comment mark taken away.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from relay.config.declare import Section, Setting, declarations
from relay.config.load import variable_of
from relay.config.model import Config
from relay.config.positions import KeyPath

_INTRODUCTION = """\
# Configuration

<!-- Made from relay/config/model.py by `make docs`. Do not edit. -->

Relay reads one TOML file: the one given with `--config`, else the one that `RELAY_CONFIG` names, else
`/etc/relay/relay.toml` when it is there. Without any it serves a demo on loopback ports. `relay check` reads the file
and reports everything that is wrong with it at once, with line and key; `relay config example` prints a sample
([relay.toml](relay.toml)).

- Durations are written with a unit: `"500ms"`, `"90s"`, `"5m"`, `"1h30m"`, `"5d"`; sizes too: `"512B"`, `"64KiB"`,
  `"25MiB"`, `"1GiB"` (`kB`, `MB`, `GB` are powers of 1000).
- An environment variable overrides a key: `RELAY_SMTP__MAX_MESSAGE_SIZE=50MiB`, `RELAY_HOSTNAME=mx.example.org`.
  Lists are written with commas or as in TOML; an array of tables as one TOML list:
  `RELAY_LISTENER='[{ name = "mx", kind = "mx", address = "0.0.0.0", port = 25 }]'`.
- SIGHUP reads the file again. A file with an error is refused, and the settings in force stay.
- `relay account` keeps passwords in `accounts_file`, as argon2id hashes. No password stands in this file.
"""


def reference() -> str:
    """The text of docs/CONFIG.md."""
    return "\n".join([_INTRODUCTION, *_table("Top of the file", "", Config, ()), *_sections()]).rstrip() + "\n"


def _sections() -> Iterator[str]:
    for _, declared in declarations(Config):
        if isinstance(declared, Section):
            title = f"`[[{declared.key}]]`" if declared.is_array else f"`[{declared.key}]`"
            yield from _table(title, declared.doc, declared.of, (declared.key,), is_array=declared.is_array)


def _table(title: str, doc: str, of: type, path: KeyPath, *, is_array: bool = False) -> Iterator[str]:
    yield f"## {title}\n"
    if doc:
        yield f"{doc}\n"
    if is_array:
        yield f"Environment: `{variable_of(path)}` (all tables at once)\n"
    for _, declared in declarations(of):
        if isinstance(declared, Setting):
            yield f"### `{declared.key}`\n"
            yield f"{declared.doc}\n"
            yield f"- {declared.kind.describe()}"
            yield f"- {_default_text(declared)}"
            yield "" if is_array else f"- environment: `{variable_of((*path, declared.key))}`\n"


def _default_text(declared: Setting) -> str:
    if declared.is_required:
        return "required"
    return f"default: {declared.default_doc or '`' + declared.kind.show(declared.default) + '`'}"


def example() -> str:
    """The text of docs/relay.toml: every setting with its default, commented out."""
    lines = [
        "# Relay's settings. Each stands here with its default (or an example, where it says so), commented out.",
        "# Explained at more length in CONFIG.md; check with: relay check --config FILE",
        "",
    ]
    lines += _settings(Config)
    for _, declared in declarations(Config):
        if isinstance(declared, Section):
            lines += [
                *_comment(declared.doc.replace("`", "")),
                f"#[[{declared.key}]]" if declared.is_array else f"[{declared.key}]",
                "",
            ]
            lines += _settings(declared.of)
    return "\n".join(lines).rstrip() + "\n"


def _settings(of: type) -> Iterator[str]:
    for _, declared in declarations(of):
        if isinstance(declared, Setting):
            yield from _comment(declared.doc.replace("`", ""))
            yield from _comment(f"({declared.kind.describe()}{_example_text(declared).replace('`', '')})")
            value = declared.example if declared.example is not None else declared.default
            yield f"#{declared.key} = {declared.kind.show(value)}"
            yield ""


def _example_text(declared: Setting) -> str:
    if declared.is_required:
        return "; required, this is an example"
    return f"; default: {declared.default_doc}, this is an example" if declared.example is not None else ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
