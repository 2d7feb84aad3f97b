"""The reference page and the sample file, both made from the settings model.

docs/CONFIG.md and docs/relay.toml hold their text; a test fails when those are stale, and another loads the sample
with every comment mark taken away.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from relay.config.declare import Overrides, Section, Setting, declarations
from relay.config.load import variable_of
from relay.config.model import Config
from relay.config.positions import KeyPath

_INTRODUCTION = """\
# Configuration

<!-- Made from relay/config/model.py by `make docs`. Do not edit. -->

Relay reads one TOML file, and those in the folder beside it: the file given with `--config`, else the one that
`RELAY_CONFIG` names, else `/etc/relay/relay.toml` when it is there. Without any it serves a demo on loopback ports.
`relay check` reads everything and reports all that is wrong at once, with file, line and key; `relay config example`
prints a sample ([relay.toml](relay.toml)); `relay config show` prints the settings in force and where each is set.

- Durations are written with a unit: `"500ms"`, `"90s"`, `"5m"`, `"1h30m"`, `"5d"`; sizes too: `"512B"`, `"64KiB"`,
  `"25MiB"`, `"1GiB"` (`kB`, `MB`, `GB` are powers of 1000).
- An environment variable overrides a key: `RELAY_SMTP__MAX_MESSAGE_SIZE=50MiB`, `RELAY_HOSTNAME=mx.example.org`.
  Lists are written with commas or as in TOML; an array of tables as one TOML list:
  `RELAY_LISTENER='[{ name = "mx", kind = "mx", address = "0.0.0.0", port = 25 }]'`.
- A listener can have settings of `[smtp]` of its own, in a table `[listener.smtp]` behind its `[[listener]]`.
- SIGHUP reads all files again, those that a setting names (secrets, recipients) included. When anything is wrong, the
  reload is refused and the settings in force stay.
- `relay account` keeps passwords in `accounts_file`, as argon2id hashes. No password stands in these files.

## Several files

Beside `relay.toml` there may be a folder `relay.d` (beside `/srv/mx.toml`, `/srv/mx.d`). Its files `*.toml` are read
after it, in the order of their names; names that begin with a dot or `#`, and those that end in anything else
(`x.toml~`, `x.toml.dpkg-old`), are not. When there are files in the folder, `relay.toml` itself may be missing. A
folder given with `--config` stands for `relay.toml` in it. Relative paths begin at the folder of `relay.toml`, in all
files.

Tables of one name are one table; arrays of tables (`[[listener]]`, `[[relay_domain]]`) follow each other and are
counted through, so the second listener is `listener[2]` wherever it stands. Any other key, lists too, is set once: a
second value in another file is an error that names both places. So what `relay.toml` says holds, and no forgotten file
changes it; what is to differ between machines is left out of it, or overridden by the environment. A file that is
changed, added or removed counts from the next SIGHUP on.

## Secrets

A secret, such as `admin.token`, can stand in a file of its own: `admin.token_file = "/etc/relay/admin-token"`, or
`RELAY_ADMIN__TOKEN_FILE`. What is in the file is the secret, without the line end at its end. To set both is an error,
but what the environment sets counts before what the files set. The file must be readable by `user` (a link is
followed, so a mounted Kubernetes Secret or a systemd credential will do), hold at most 64 KiB, and not be writable by
everybody; `relay check` warns when everybody can read it, or a file of the configuration that a secret stands in. It is
read again by each reload. No log line, error or command shows a secret: `relay config show` says where it comes from.
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
    own_table = next((where for where, declared in _override_tables() if declared.of is of), "")
    for _, declared in declarations(of):
        if isinstance(declared, Section):
            continue
        yield f"### `{declared.key}`\n"
        yield f"{declared.doc}\n"
        if isinstance(declared, Overrides):
            able = ", ".join(f"`{each.key}`" for _, each in declared.settings() if not each.shared)
            yield f"- table `[{path[0]}.{declared.key}]` behind `[[{path[0]}]]`, with any of {able}"
            yield f"- default: as in `[{declared.key}]`\n"
            continue
        twin = declared.file_key
        yield f"- {declared.kind.describe()}" + (f"; or `{twin}`: path of a file that holds it" if twin else "")
        yield f"- {_default_text(declared)}"
        names = [f"`{variable_of((*path, key))}`" for key in (declared.key, twin) if key]
        if own_table:
            yield f"- not in `[{own_table}]`: {declared.shared}" if declared.shared else f"- also in `[{own_table}]`"
        yield "" if is_array else f"- environment: {', '.join(names)}\n"


def _override_tables() -> Iterator[tuple[str, Overrides]]:
    """The tables, such as ``listener.smtp``, whose settings count in place of a section's."""
    for _, declared in declarations(Config):
        if isinstance(declared, Section):
            for _, inner in declarations(declared.of):
                if isinstance(inner, Overrides):
                    yield f"{declared.key}.{inner.key}", inner


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
    lines += _settings(Config, "")
    for _, declared in declarations(Config):
        if isinstance(declared, Section):
            lines += [
                *_comment(declared.doc.replace("`", "")),
                f"#[[{declared.key}]]" if declared.is_array else f"[{declared.key}]",
                "",
            ]
            lines += _settings(declared.of, declared.key)
    return "\n".join(lines).rstrip() + "\n"


def _settings(of: type, table: str) -> Iterator[str]:
    for _, declared in declarations(of):
        if isinstance(declared, Overrides):
            example = next(each for _, each in declared.settings() if each.key == declared.example)
            yield from _comment(declared.doc.replace("`", ""))
            yield f"#[{table}.{declared.key}]"
            yield f"#{example.key} = {example.kind.show(example.default)}"
            yield ""
        if isinstance(declared, Setting):
            yield from _comment(declared.doc.replace("`", ""))
            yield from _comment(f"({declared.kind.describe()}{_example_text(declared).replace('`', '')})")
            if declared.file_key:
                yield from _comment(f"({declared.file_key} names a file that it stands in; or {declared.key}: itself)")
                yield f'#{declared.file_key} = "{declared.example}"'
            else:
                value = declared.example if declared.example is not None else declared.default
                yield f"#{declared.key} = {declared.kind.show(value)}"
            yield ""


def _example_text(declared: Setting) -> str:
    if declared.is_required:
        return "; required, this is an example"
    return f"; default: {declared.default_doc}, this is an example" if declared.example is not None else ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
