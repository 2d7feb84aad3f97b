# cython: language_level=3
"""The tokens of an IMAP command (RFC 9051 9): a cursor over one whole command.

Theory: the reader (reader.py) has gathered a command with its literals in place, ``{3}`` CRLF and three octets, and
without its last CRLF. The cursor takes one token after the other; what does not fit raises Bad and the command is over.
Nothing is looked at twice, so the time is linear in the command.

Invariants: the cursor never leaves the command; a NUL is in no token but a literal8 (RFC 3516 4.2); numbers have bounds;
lists are bounded by the callers, who loop.

Not here: which tokens a command has (grammar.py and the commands' own files).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memset

from relay.imap.completion import Bad

cdef enum:
    ATOM = 1            # ATOM-CHAR
    ASTRING = 2         # ASTRING-CHAR: and "]"
    LIST = 4            # list-char: and "%" and "*"
    DIGIT = 8
    SET = 16            # of a sequence set
    MAX_SET = 8192      # ranges in a sequence set

cdef unsigned char KINDS[256]


cdef void _fill() noexcept:
    cdef int octet
    memset(KINDS, 0, 256)
    for octet in range(33, 127):
        if octet in b'(){%*"\\]':
            continue
        KINDS[octet] = ATOM | ASTRING | LIST
    KINDS[93] = ASTRING | LIST
    KINDS[37] |= LIST
    KINDS[42] |= LIST | SET
    for octet in range(48, 58):
        KINDS[octet] |= DIGIT | SET
    KINDS[44] |= SET
    KINDS[58] |= SET

_fill()


cdef class Tokens:
    """A cursor over ``octets``; ``utf8`` lets quoted strings hold octets above 127 (RFC 6855, RFC 9051)."""

    def __init__(self, bytes octets not None, Py_ssize_t at=0, bint utf8=False):
        self.octets = octets
        self.text = <const unsigned char*>PyBytes_AS_STRING(octets)
        self.size = PyBytes_GET_SIZE(octets)
        self.at = at if 0 <= at <= self.size else self.size
        self.utf8 = utf8

    @property
    def is_at_end(self):
        return self.at >= self.size

    def peek(self):
        return self.text[self.at] if self.at < self.size else -1

    def skip(self, int octet):
        if self.at < self.size and self.text[self.at] == octet:
            self.at += 1
            return True
        return False

    def expect(self, int octet):
        if self.at >= self.size or self.text[self.at] != octet:
            raise Bad(f"{chr(octet)!r} is missing at octet {self.at}" if octet != 32 else
                      f"a space is missing at octet {self.at}")
        self.at += 1

    def space(self):
        self.expect(32)

    def end(self):
        if self.at < self.size:
            raise Bad(f"the command should end at octet {self.at}")

    cdef bytes run(self, int kind, str what):
        cdef Py_ssize_t begin = self.at
        while self.at < self.size and KINDS[self.text[self.at]] & kind:
            self.at += 1
        if self.at == begin:
            raise Bad(f"{what} is missing at octet {begin}")
        return PyBytes_FromStringAndSize(<const char*>self.text + begin, self.at - begin)

    def atom(self):
        return self.run(ATOM, "an atom")

    def word(self):
        return self.run(ATOM, "a word").upper()

    def tag(self):
        cdef bytes found = self.run(ASTRING, "a tag")
        if b"+" in found:
            raise Bad("a tag holds no plus sign")
        return found

    def flag(self):
        if self.skip(92):
            return b"\\" + self.run(ATOM, "a flag")
        return self.run(ATOM, "a flag")

    def number(self, object limit=4294967295):
        cdef bytes digits = self.run(DIGIT, "a number")
        if len(digits) > 20:
            raise Bad("the number is too large")
        value = int(digits)
        if value > limit:
            raise Bad("the number is too large")
        return value

    def quoted(self):
        cdef Py_ssize_t begin
        cdef unsigned char octet
        cdef bint has_escapes = False
        self.expect(34)
        begin = self.at
        while self.at < self.size:
            octet = self.text[self.at]
            if octet == 34:
                found = PyBytes_FromStringAndSize(<const char*>self.text + begin, self.at - begin)
                self.at += 1
                return self.unescape(found) if has_escapes else found
            if octet == 92:
                self.at += 1
                if self.at >= self.size or self.text[self.at] not in (34, 92):
                    raise Bad("in a quoted string only a quote or a backslash follows a backslash")
                has_escapes = True
            elif octet in (0, 10, 13):
                raise Bad("a quoted string holds no NUL, CR or LF")
            elif octet > 127 and not self.utf8:
                raise Bad("a quoted string is ASCII unless UTF8=ACCEPT is enabled")
            self.at += 1
        raise Bad("a quoted string is not closed")

    cdef bint is_literal8(self) noexcept:
        """``~`` alone begins an atom like any other octet; ``~{`` a literal8 (RFC 3516 4.2)."""
        return self.size - self.at >= 2 and self.text[self.at] == 126 and self.text[self.at + 1] == 123

    cdef bytes unescape(self, bytes escaped):
        cdef bytearray plain = bytearray()
        cdef bint is_escaped = False
        for octet in escaped:
            if octet == 92 and not is_escaped:
                is_escaped = True
                continue
            is_escaped = False
            plain.append(octet)
        return bytes(plain)

    def literal(self):
        cdef bint may_hold_nul = self.skip(126)
        cdef bytes found
        self.expect(123)
        size = self.number(1 << 40)
        self.skip(43)
        self.expect(125)
        self.expect(13)
        self.expect(10)
        if size > self.size - self.at:
            raise Bad("the literal is not whole")
        found = PyBytes_FromStringAndSize(<const char*>self.text + self.at, <Py_ssize_t>size)
        self.at += <Py_ssize_t>size
        if not may_hold_nul and size and memchr(PyBytes_AS_STRING(found), 0, <size_t>size) != NULL:
            raise Bad("a literal holds no NUL")
        return found

    def string(self):
        cdef int octet = self.peek()
        if octet == 34:
            return self.quoted()
        if octet == 123 or self.is_literal8():
            return self.literal()
        raise Bad(f"a string is missing at octet {self.at}")

    def nstring(self):
        if self.size - self.at >= 3 and self.octets[self.at:self.at + 3].upper() == b"NIL":
            self.at += 3
            return None
        return self.string()

    def astring(self):
        cdef int octet = self.peek()
        if octet == 34 or octet == 123 or self.is_literal8():
            return self.string()
        return self.run(ASTRING, "a string")

    def list_mailbox(self):
        cdef int octet = self.peek()
        if octet == 34 or octet == 123:
            return self.string()
        return self.run(LIST, "a pattern")

    def sequence_set(self):
        """[(first, last)], 0 for ``*``; first <= last unless one of them is 0."""
        cdef list ranges = []
        while True:
            first = last = self.sequence_number()
            if self.skip(58):
                last = self.sequence_number()
                if first == 0 or 0 < last < first:
                    first, last = last, first
            ranges.append((first, last))
            if len(ranges) > MAX_SET:
                raise Bad("the set has too many parts", "TOOMANY")
            if not self.skip(44):
                return ranges

    cdef object sequence_number(self):
        if self.skip(42):
            return 0
        value = self.number()
        if not value:
            raise Bad("messages are numbered from 1")
        return value
