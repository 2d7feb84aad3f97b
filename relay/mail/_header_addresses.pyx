# cython: language_level=3
"""Address lists of header fields (RFC 5322 3.4 and 4.4, RFC 6854), read octet by octet.

Theory: a machine with one pass and no way back. The words of one address gather in a buffer, white space and comments
between them as NUL (those of the input are dropped), quotes and escapes undone; when the address ends, name, local part and
domain are cut from the buffer by the places of the signs that were met. Nothing is looked for ahead, but for the end of a
quoted string and of a domain literal; when one of them is not there, that is remembered for the whole value.
Invariants: time is linear in the octets; what is held beside the value is the buffer and at most ``most`` addresses.

Not here: encoded words in names (encoded_words.py), what an address must be to be used (its readers).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr

ctypedef const uint8_t* octets_t

cdef enum:
    NO_WORD, WORD, SIGN

cdef class _Reading:
    """One value while it is read."""

    cdef octets_t p
    cdef Py_ssize_t n, at
    cdef bytes buffer
    cdef uint8_t* out
    cdef Py_ssize_t length      # octets of the buffer that are in use: of one address
    cdef Py_ssize_t angle       # where what stands in angle brackets begins in it; -1: nothing does
    cdef Py_ssize_t at_sign     # the last "@" in it that is a sign; -1
    cdef Py_ssize_t route_end   # behind the last ":" in the brackets
    cdef Py_ssize_t comment_start, comment_end      # the last comment, in the value
    cdef bint is_inside         # between the angle brackets
    cdef bint is_route          # the brackets hold a route that has not ended (RFC 5322 4.4)
    cdef bint is_behind         # behind the brackets
    cdef bint has_gap           # white space came since the last word
    cdef bint has_two           # two words stand beside each other with nothing but white space between
    cdef bint is_clean
    cdef bint in_group
    cdef bint has_no_quote, has_no_bracket
    cdef int last
    cdef list found

    def __cinit__(self, bytes value):
        self.p = <octets_t>PyBytes_AS_STRING(value)
        self.n = PyBytes_GET_SIZE(value)
        self.buffer = PyBytes_FromStringAndSize(NULL, 2 * self.n + 1)
        self.out = <uint8_t*>PyBytes_AS_STRING(self.buffer)
        self.found = []
        self.begin()

    cdef void begin(self) noexcept:
        """The next address."""
        self.length = self.route_end = 0
        self.angle = self.at_sign = self.comment_start = self.comment_end = -1
        self.is_inside = self.is_route = self.is_behind = self.has_gap = self.has_two = False
        self.is_clean = True
        self.last = NO_WORD

    cdef inline void put(self, uint8_t c) noexcept:
        if c:
            self.out[self.length] = c
            self.length += 1

    cdef inline void lead(self, int kind) noexcept:
        """A word or sign begins: white space before it counts, unless it is the first."""
        if self.has_gap and self.length and self.length != self.angle:
            self.out[self.length] = 0
            self.length += 1
            self.has_two |= kind == WORD and self.last == WORD
        if self.is_behind:
            self.is_clean = False
        self.has_gap = False
        self.last = kind

    cdef void atom(self) noexcept:
        cdef uint8_t c
        self.lead(WORD)
        while self.at < self.n:
            c = self.p[self.at]
            if c <= 32 and (c == 32 or c == 9 or c == 10 or c == 13) or c in b'"(<>,:;@[.':
                break
            self.put(c)
            self.at += 1

    cdef void literal(self, Py_ssize_t end) noexcept:
        """Octets as they are, up to ``end``."""
        self.lead(WORD)
        while self.at < end:
            self.put(self.p[self.at])
            self.at += 1

    cdef void quoted(self) noexcept:
        """A quoted string; a quote that nothing closes stands for itself."""
        cdef Py_ssize_t at = self.at + 1
        if not self.has_no_quote:
            while at < self.n and self.p[at] != c'"':
                at += 2 if self.p[at] == c'\\' else 1
        if self.has_no_quote or at >= self.n:
            self.has_no_quote = True
            self.literal(self.at + 1)
            self.is_clean = False
            return
        self.lead(WORD)
        self.at += 1
        while self.at < at:
            if self.p[self.at] == c'\\':
                self.at += 1
            self.put(self.p[self.at])
            self.at += 1
        self.at = at + 1

    cdef void bracketed(self) noexcept:
        """A domain literal; a bracket that nothing closes stands for itself."""
        cdef const void* found = NULL
        if not self.has_no_bracket:
            found = memchr(self.p + self.at, c']', self.n - self.at)
        if found == NULL:
            self.has_no_bracket = True
            self.literal(self.at + 1)
            self.is_clean = False
        else:
            self.literal(<octets_t>found - self.p + 1)

    cdef void comment(self) noexcept:
        cdef Py_ssize_t depth = 0
        self.comment_start = self.at + 1
        self.comment_end = self.n
        self.has_gap = True
        while self.at < self.n:
            if self.p[self.at] == c'\\':
                self.at += 1
            elif self.p[self.at] == c'(':
                depth += 1
            elif self.p[self.at] == c')':
                depth -= 1
                if not depth:
                    self.comment_end = self.at
                    self.at += 1
                    return
            self.at += 1
        self.is_clean = False
        self.at = self.n

    cdef bytes comment_text(self):
        """The last comment, escapes undone."""
        cdef Py_ssize_t at = self.comment_start, written = 0
        cdef bytes made = PyBytes_FromStringAndSize(NULL, self.comment_end - at)
        cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(made)
        while at < self.comment_end:
            if self.p[at] == c'\\' and at + 1 < self.comment_end:
                at += 1
            out[written] = self.p[at]
            written += 1
            at += 1
        return made[:written].replace(b"\0", b"")

    cdef bytes cut(self, Py_ssize_t start, Py_ssize_t end, bytes gap):
        cdef bytes text = self.out[start:end] if end > start else b""
        return text.replace(b"\0", gap)

    cdef void end_address(self):
        """An address is complete; nothing is found where there was none."""
        cdef Py_ssize_t start = 0
        cdef bytes name = None
        if self.length or self.angle >= 0:
            if self.angle >= 0:
                name = self.cut(0, self.angle, b" ").strip(b" ") or None
                start = max(self.angle, self.route_end)
                if self.is_inside:
                    self.is_clean = False
            if name is None and self.comment_start >= 0:
                name = self.comment_text() or None
            if self.at_sign >= start:
                local, domain = self.cut(start, self.at_sign, b""), self.cut(self.at_sign + 1, self.length, b"")
            else:
                local, domain = self.cut(start, self.length, b" ").strip(b" "), b""
            is_clean = self.is_clean and not self.has_two and bool(local) and bool(domain)
            self.found.append((name, local, domain, is_clean, bool(self.has_two)))
        self.begin()

    cdef void end_group(self):
        if self.in_group:
            self.found.append((None, None, None, True, False))
            self.in_group = False

    cdef bint sign(self, uint8_t c):
        """One of ``<>,:;@.``; False when it ended an address or began a group."""
        if c == c'<' and self.angle < 0:
            self.is_clean = self.is_clean and self.at_sign < 0      # an address as the name of another
            self.angle = self.length
            self.at_sign = -1
            self.is_inside, self.has_gap, self.has_two, self.last = True, False, False, NO_WORD
        elif c == c'<' or c == c'>' and not self.is_inside:
            self.is_clean = False
        elif c == c'>':
            self.is_inside, self.is_behind, self.has_gap = False, True, False
        elif c == c',' and self.is_route:
            self.lead(SIGN)
            self.put(c)
        elif c == c':' and self.is_inside:
            self.lead(SIGN)
            self.put(c)
            self.is_clean = self.is_clean and self.is_route
            self.route_end, self.is_route, self.at_sign = self.length, False, -1
        elif c == c',' or c == c';' and (self.in_group or not self.is_inside):
            self.end_address()
            if c == c';':
                self.end_group()
            return False
        elif c == c':':
            self.end_group()
            self.found.append((None, self.cut(0, self.length, b" ").strip(b" "), None, True, False))
            self.in_group = True
            self.begin()
            return False
        else:
            self.lead(SIGN)
            if c == c'@':
                if self.is_inside and self.length == self.angle:
                    self.is_route = True
                elif self.at_sign >= 0 and not self.is_route:
                    self.is_clean = False
                self.at_sign = self.length
            self.put(c)
        return True


cdef void _step(_Reading reading, uint8_t c):
    if c == c' ' or c == c'\t' or c == c'\r' or c == c'\n':
        reading.has_gap = True
        reading.at += 1
    elif c == c'"':
        reading.quoted()
    elif c == c'(':
        reading.comment()
    elif c == c'[':
        reading.bracketed()
    else:
        reading.atom()


def read(bytes value, Py_ssize_t most):
    cdef _Reading reading = _Reading(value)
    cdef uint8_t c
    while reading.at < reading.n and len(reading.found) < most:
        c = reading.p[reading.at]
        if reading.is_behind and c not in b",;:( \t\r\n<>":
            reading.is_clean = False            # words behind the brackets belong to nothing
            reading.at += 1
        elif c in b"<>,:;@.":
            reading.at += 1
            reading.sign(c)
        else:
            _step(reading, c)
    if len(reading.found) < most:
        reading.end_address()
    reading.end_group()
    return reading.found
