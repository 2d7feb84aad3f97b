"""Contents: token soup, trees that are well formed, and trees with something broken."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

NEWLINES = [b"\r\n", b"\n"]
BOUNDARIES = [b"a", b"ab", b"a--", b"--", b"-", b"abc def", b"x" * 70, b"'()+_,-./:=?", b"a ", b"A"]
TYPES = [
    b"multipart/mixed; boundary=a", b"multipart/alternative; boundary=ab", b'multipart/digest; boundary="a--"',
    b'multipart/mixed; boundary="a "', b"multipart/mixed", b"multipart/mixed; boundary=", b"message/rfc822",
    b"message/global", b"message/partial", b"text/plain; charset=utf-8", b"image/png", b"text", b"", b"/", b"a/b/c",
    b"MULTIPART/Mixed (x); BOUNDARY=a; x=y", b'multipart/mixed; x="a;boundary=ab"; boundary*0=a; boundary*1=b',
    b"multipart/mixed; boundary*=us-ascii'en'%61", b"multipart/mixed;\r\n boundary=a",
    b"multipart/mixed;\n\tboundary=ab", b"multipart/digest; boundary=-", b'multipart/mixed; boundary="--"',
]  # fmt: skip
SOUP = [
    b"--a", b"--ab", b"--a--", b"--a----", b"----", b"------", b"---", b"--A", b"--", b"-", b"--a ", b"--a\t--",
    b"--a-- \t", b" --a", b"--abc def", b"", b"", b"text", b"Subject: x", b"From: a@b", b"content-type: message/rfc822",
    b"MIME-Version: 1.0", b" folded", b"\tfolded", b"no field", b":", b"X :y", b"Content-Transfer-Encoding: base64",
    b"content-id:", b"Content-Transfer-Encoding: 8bit (x)", b"x" * 127, b"y" * 129, b"\r", b"\xff", b"\0", b"a\rb",
    b"Content-Description:\t",
    *[b"Content-Type: " + value for value in TYPES],
    *[b"--a\nContent-Type: " + value + b"\n" for value in TYPES],
    *[b"--ab\r\nContent-Type: " + value + b"\r\n" for value in TYPES],
]  # fmt: skip
VALUE_TOKENS = [
    b"text", b"/", b"plain", b";", b";", b"=", b"=", b" ", b"\t", b"\r\n ", b'"', b"\\", b"(", b")", b"boundary",
    b"BOUNDARY", b"*", b"0", b"1", b"*0*", b"name", b"'", b"%41", b"%", b"a", b"x" * 249, b"\xff", b"\0", b"[", b",",
    b"?", b"us-ascii''",
]  # fmt: skip


def soup() -> SearchStrategy[bytes]:
    """Lines that matter in any order, ended in any way."""
    line = st.tuples(
        st.one_of(st.sampled_from(SOUP), st.sampled_from(SOUP), st.binary(max_size=3)),
        st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\n", b"\r", b"", b"\r\r\n"]),
    ).map(b"".join)
    start = st.sampled_from([b"Content-Type: " + value + b"\r\n\r\n" for value in TYPES] + [b""])
    return st.tuples(start, st.lists(line, max_size=24).map(b"".join)).map(b"".join)


def values() -> SearchStrategy[bytes]:
    return st.lists(st.one_of(st.sampled_from(VALUE_TOKENS), st.binary(max_size=2)), max_size=16).map(b"".join)


@dataclass(frozen=True)
class Tree:
    """A part that is to be written."""

    content_type: bytes
    body: bytes = b""
    children: tuple[Tree, ...] = ()
    headers: tuple[bytes, ...] = field(default=())
    preamble: bytes = b""
    epilogue: bytes = b""


def leaves() -> SearchStrategy[Tree]:
    text = st.lists(
        st.sampled_from([b"hello", b"-- ", b"-", b"--x", b"", b"QUJD" * 19, b"--zz--", b"a" * 200]), max_size=6
    )
    headers = st.lists(
        st.sampled_from([b"Content-ID: <a@b>", b"Content-Disposition: attachment;\n filename=x", b"X-Other: y"]),
        max_size=2,
    )
    return st.builds(
        lambda kind, lines, more: Tree(kind, b"\n".join(lines), headers=tuple(more)),
        st.sampled_from(
            [b"text/plain; charset=utf-8", b"text/html", b"application/octet-stream", b"image/png; name=a"]
        ),
        text,
        headers,
    )


def _multipart(children: list[Tree], kind: bytes, around: bytes) -> Tree:
    return Tree(b"multipart/" + kind, children=tuple(children), preamble=around, epilogue=around)


def trees() -> SearchStrategy[Tree]:
    """Well-formed: the standard library reads them without a defect."""
    return st.recursive(
        leaves(),
        lambda inner: st.one_of(
            st.builds(
                _multipart,
                st.lists(inner, min_size=1, max_size=4),
                st.sampled_from([b"mixed", b"related", b"alternative"]),
                st.sampled_from([b"", b"around", b"two\nlines"]),
            ),
            st.builds(lambda child: Tree(b"message/rfc822", children=(child,), headers=()), inner),
        ),
        max_leaves=8,
    )


def write(tree: Tree, number: list[int] | None = None, is_message: bool = True) -> bytes:
    """``tree`` as octets with LF line ends."""
    number = number if number is not None else [0]
    number[0] += 1
    boundary = b"=_%d" % number[0]
    content_type = b"Content-Type: " + tree.content_type
    body = tree.body
    if tree.content_type.startswith(b"multipart/"):
        content_type += b'; boundary="' + boundary + b'"'
        body = tree.preamble + b"\n" if tree.preamble else b""
        for child in tree.children:
            body += b"--" + boundary + b"\n" + write(child, number, is_message=False) + b"\n"
        body += b"--" + boundary + b"--\n" + tree.epilogue
    elif tree.children:
        body = write(tree.children[0], number)
    first = [b"Subject: %d" % number[0], b"From: <a@example.org>", b"MIME-Version: 1.0"] if is_message else []
    return b"\n".join([*first, content_type, *tree.headers]) + b"\n\n" + body


def well_formed() -> SearchStrategy[tuple[Tree, bytes]]:
    return st.builds(
        lambda tree, newline: (tree, write(tree).replace(b"\n", newline)), trees(), st.sampled_from(NEWLINES)
    )


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A well-formed content with pieces cut out, doubled, moved or overwritten."""
    content = draw(well_formed())[1]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 40)))
        to = draw(st.integers(0, len(content)))
        piece = draw(st.one_of(st.just(b""), st.sampled_from(SOUP), st.just(content[start:end] * 2)))
        content = content[:start] + content[end:]
        content = content[:to] + piece + content[to:]
    return content
