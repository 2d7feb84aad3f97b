"""A slow, obvious twin of relay/mail/_header_addresses.pyx for lists that follow the grammar, and text that does."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

ATOM = st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=6)
DOT_ATOM = st.lists(ATOM, min_size=1, max_size=3).map(".".join)
QUOTED = st.text('ab ,;:<>@()[]."\\', max_size=6)
DOMAIN = DOT_ATOM | st.sampled_from(["[192.0.2.1]", "[IPv6:::1]"])
SPACE = st.sampled_from(["", " ", "\r\n ", "\t", "(c)", " (a (b) \\) c) "])


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def mailbox(draw: Any) -> tuple[str, tuple[str | None, str, str]]:
    """(as it is written, (name, local part, domain)); names come without comments beside them."""
    is_quoted = draw(st.booleans())
    local = draw(QUOTED.filter(bool) if is_quoted else DOT_ATOM)
    written = quote(local) if is_quoted else local
    domain = draw(DOMAIN)
    space = [draw(SPACE) for _ in range(4)]
    spec = f"{space[0]}{written}{space[1]}@{space[2]}{domain}{space[3]}"
    if draw(st.booleans()):
        comment = draw(st.sampled_from([None, "Ann", "b (c)"]))
        if comment is None and any("(" in each for each in space):
            spec = f"{written}@{domain}"
        return (spec if comment is None else f"{spec} ({comment})"), (comment, local, domain)
    words = draw(st.lists(ATOM, min_size=1, max_size=3))
    quoted = draw(st.booleans())
    name = " ".join(words)
    route = draw(st.sampled_from(["", "@x.test:", "@x.test,@y.test:"]))
    return f"{quote(name) if quoted else name}{draw(st.sampled_from(['', ' ']))}<{route}{spec}>", (name, local, domain)
