"""Parameters that were split over sections (RFC 2231 3), as BODY and BODYSTRUCTURE show them: whole (RFC 2231 6).

Pure and linear in the parameters. The charset stays where it is (``NAME*``): a client decodes it itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

Parameter = tuple[bytes, bytes]
"""Name in lower case, and value."""
_SECTION: Final = re.compile(rb"([^*]+)\*(0|[1-9][0-9]{0,3})(\*?)\Z")
_TO_ESCAPE: Final = re.compile(rb"[^A-Za-z0-9!#$&+\-.^_`{|}~]")
"""All but attribute-char (RFC 2231 7)."""


class _Section(NamedTuple):
    place: int
    is_encoded: bool
    value: bytes


def joined(parameters: Sequence[Parameter]) -> list[Parameter]:
    """The parameters, those in sections as one where the first section stood. Sections behind a gap, a second one of
    the same number, and those of a name that is there without sections, too, stay as they are."""
    split: dict[bytes, dict[int, _Section]] = {}
    for place, (name, value) in enumerate(parameters):
        found = _SECTION.match(name) if b"*" in name else None
        if found is not None:
            split.setdefault(found[1], {}).setdefault(int(found[2]), _Section(place, bool(found[3]), value))
    if not split:
        return list(parameters)
    whole: dict[int, Parameter | None] = {}
    """What stands at a place instead; None: nothing."""
    names = {name for name, _ in parameters}
    for name, sections in split.items():
        run = _run(sections)
        parameter = _join(name, run)
        if run and parameter[0] not in names:
            whole |= dict.fromkeys((section.place for section in run), None)
            whole[run[0].place] = parameter
    made = (whole.get(place, parameter) for place, parameter in enumerate(parameters))
    return [parameter for parameter in made if parameter is not None]


def _run(sections: dict[int, _Section]) -> list[_Section]:
    """From the first section up to a gap."""
    run: list[_Section] = []
    while len(run) in sections:
        run.append(sections[len(run)])
    return run


def _join(name: bytes, run: Sequence[_Section]) -> Parameter:
    if not any(section.is_encoded for section in run):
        return name, b"".join(section.value for section in run)
    # Charset and language stand in the first section; where that is not encoded there are none.
    begin = b"" if run[0].is_encoded else b"''"
    return name + b"*", begin + b"".join(
        section.value if section.is_encoded else _TO_ESCAPE.sub(_escaped, section.value) for section in run
    )


def _escaped(octet: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(octet[0])
