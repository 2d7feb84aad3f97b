"""Python-level forms of the MIME structure scanner of relay/_mime.pyx; its C forms are described in relay/_mime.pxd.

Offsets count from the start of the content that was scanned; a structure does not hold on to that content. Nothing is
raised for bad input. Kinds and names come from the tuples below, in the order of the C enums.
"""

from collections.abc import Iterator
from typing import Final, final

KINDS: Final[tuple[str, ...]]
ENCODINGS: Final[tuple[str, ...]]
FLAGS: Final[tuple[str, ...]]
FIELDS: Final[tuple[str, ...]]

@final
class Part:
    """One part, or the content itself (index 0)."""

    @property
    def index(self) -> int: ...
    @property
    def parent(self) -> int:
        """Index of the multipart or message it belongs to; -1 for the content itself."""

    @property
    def children(self) -> int:
        """How many; the first is ``index + 1``, each next one its elder's ``after``."""

    @property
    def after(self) -> int:
        """The index past its last descendant."""

    @property
    def depth(self) -> int: ...
    @property
    def kind(self) -> str:
        """How it is to be read (RFC 9051 9): basic, text, multipart (has been split) or message (has one child)."""

    @property
    def encoding(self) -> str:
        """Content-Transfer-Encoding; "7bit" without the field, "" for what RFC 2045 6.1 does not know."""

    @property
    def flags(self) -> frozenset[str]:
        """Names of FLAGS, which are those of enum PartFlag."""

    @property
    def header(self) -> slice:
        """The header section with its empty line; it ends where the body begins."""

    @property
    def body(self) -> slice:
        """The body; the line break before a delimiter is not part of it (RFC 2046 5.1.1)."""

    @property
    def header_lines(self) -> int:
        """LFs in the header section, that of the empty line included."""

    @property
    def header_bare_lines(self) -> int:
        """How many of them have no CR before them: what the section grows by when it is sent with CRLF."""

    @property
    def lines(self) -> int:
        """LFs in the body: the number of lines that BODYSTRUCTURE gives; a last line without an end is not counted."""

    @property
    def bare_lines(self) -> int:
        """How many of them have no CR before them."""

    @property
    def fields(self) -> dict[str, slice]:
        """Where the values of all noted fields are, by the names of FIELDS."""

    def field(self, name: str) -> slice | None:
        """Where the value of the first field ``name`` (of FIELDS) is: outer white space removed, folds kept.

        Fields that are not Content-* are noted for messages only. ValueError when ``name`` is not one of FIELDS.
        """

    def content_type(self, content: bytes) -> bytes:
        """``type/subtype`` in lower case, the default where the field is missing or malformed (RFC 2045 5.2)."""

@final
class Structure:
    """The parts of one content, in the order in which they begin. A part may be kept beyond its structure."""

    @property
    def count(self) -> int: ...
    @property
    def is_truncated(self) -> bool:
        """Whether ``max_parts`` was reached: what follows belongs to the body of the last part."""

    @property
    def steps(self) -> int:
        """Work done outside of bodies: header lines, lines that may be delimiters, comparisons with boundaries."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Part: ...
    def __iter__(self) -> Iterator[Part]: ...

def scan(content: bytes, max_parts: int = 10_000, max_depth: int = 100, max_header: int = 1_048_576) -> Structure:
    """The structure of a whole content (RFC 2045, 2046); lines may end with CRLF or LF.

    At most ``max_parts`` parts are told apart (about 230 octets of memory each); multiparts and messages at
    ``max_depth`` (at most 100) stay shut; fields that begin beyond ``max_header`` octets of their header section are
    not noted. Time is linear in the content. The GIL is released for contents of 1 MiB and more. ValueError for a
    content of 4 GiB or more and for bounds out of range.
    """
