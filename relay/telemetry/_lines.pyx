# cython: language_level=3
# A line is not pickled, and there are no doctests in here:
# cython: auto_pickle=False, autotestdict=False
"""Log lines: one JSON object and one LF each, built in a buffer on the stack from plain values.

Theory: a kind of line has its fields declared once (relay/telemetry/lines.py); their names are escaped when the Line
is made, so a line is a few copies and one pass over the text of each value. ``logging`` takes 12 µs for such a line,
``json.dumps`` of a dict 5 µs and more.

Whatever a peer sends, the line is valid JSON, valid UTF-8 and one line of plain text: control characters (C0, DEL,
C1), line separators and characters that turn the direction of text are written as ``\\uXXXX``, an octet that is not
UTF-8 as the four characters ``\\xNN`` (in JSON: ``\\\\xNN``). Long texts and lists are cut, with a mark at the end.

Invariants: nothing is kept between calls but the text of the last timestamp; no Python code runs while a line is
being built except the codec of a str with lone surrogates; every write is preceded by a reservation of its worst case.

Not here: which fields there are, and where lines go (sink.py).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
from libc.time cimport gmtime_r, time_t, tm

cdef extern from "Python.h":
    char* PyOS_double_to_string(double value, char code, int precision, int flags, int* kind) except NULL

cdef enum:
    STACK = 2048
    C_TEXT_LIMIT = 1024
    C_LIST_LIMIT = 1000
    C_SECONDS = 1
    C_TIME = 2
    C_ALWAYS = 4
    C_JSON = 8

TEXT_LIMIT = C_TEXT_LIMIT
"""Octets of UTF-8 of one text value; what is longer ends in ``…``."""
LIST_LIMIT = C_LIST_LIMIT
"""Values of one list; a longer one ends in the text ``… and N more``."""
PLAIN = 0
"""A field's form: text, number, truth value or list as they are; an empty text or list is left out."""
SECONDS = C_SECONDS
"""An integer of microseconds, written as seconds with six decimals."""
TIME = C_TIME
"""An integer of microseconds since the epoch, written as a timestamp."""
ALWAYS = C_ALWAYS
"""Added to a form: an empty text or list is written too. None is always left out."""

JSON = C_JSON
"""A list of JSON objects that are written already, each as its octets up to the value of its last member, and that value,
an integer."""

cdef uint64_t ONES = 0x0101010101010101
cdef uint64_t HIGHS = 0x8080808080808080

cdef struct Out:
    char* p
    Py_ssize_t used
    Py_ssize_t size
    bint is_heap

# What an octet of text becomes: 0 = itself, 1 = \u00XX, 2 = first octet of a longer sequence or no UTF-8 at all,
# anything else = a backslash and that letter.
cdef uint8_t[256] _class
cdef char* _hex = b"0123456789abcdef"


cdef void _fill_classes() noexcept:
    cdef int octet
    for octet in range(256):
        _class[octet] = 1 if octet < 32 or octet == 127 else (2 if octet > 127 else 0)
    _class[0x22] = 0x22
    _class[0x5C] = 0x5C
    _class[8] = 0x62
    _class[9] = 0x74
    _class[10] = 0x6E
    _class[12] = 0x66
    _class[13] = 0x72


_fill_classes()


cdef inline int _reserve(Out* out, Py_ssize_t more) except -1:
    # Makes room for ``more`` octets.
    return 0 if out.used + more <= out.size else _grow(out, more)


cdef int _grow(Out* out, Py_ssize_t more) except -1:
    # The buffer moves from the stack to the heap when it outgrows it.
    cdef Py_ssize_t size = out.size
    cdef char* p
    while size < out.used + more:
        size *= 2
    if out.is_heap:
        p = <char*>PyMem_Realloc(out.p, size)
    else:
        p = <char*>PyMem_Malloc(size)
    if p == NULL:
        raise MemoryError()
    if not out.is_heap:
        memcpy(p, out.p, out.used)
    out.p, out.size, out.is_heap = p, size, True
    return 0


cdef inline void _put(Out* out, const char* p, Py_ssize_t n) noexcept nogil:
    memcpy(out.p + out.used, p, n)
    out.used += n


cdef inline void _put_char(Out* out, char letter) noexcept nogil:
    out.p[out.used] = letter
    out.used += 1


cdef void _put_u16(Out* out, int code) noexcept nogil:
    _put(out, b"\\u", 2)
    _put_char(out, _hex[(code >> 12) & 15])
    _put_char(out, _hex[(code >> 8) & 15])
    _put_char(out, _hex[(code >> 4) & 15])
    _put_char(out, _hex[code & 15])


cdef void _put_number(Out* out, uint64_t number, int digits) noexcept nogil:
    # Decimal, with leading zeroes up to ``digits`` (1 to 20).
    cdef char[20] text
    cdef int at = 20
    while number or 20 - at < digits:
        at -= 1
        text[at] = <char>(48 + number % 10)
        number //= 10
    _put(out, text + at, 20 - at)


cdef inline int _sequence(const uint8_t* p, Py_ssize_t n, int* code) noexcept nogil:
    # Length of the UTF-8 sequence at p[0] > 127, 0 when it is none (RFC 3629 4: shortest form, no surrogates).
    cdef int first = p[0]
    if first < 0xC2 or first > 0xF4 or n < 2 or (p[1] & 0xC0) != 0x80:
        return 0
    if first < 0xE0:
        code[0] = (first & 0x1F) << 6 | (p[1] & 0x3F)
        return 2
    if n < 3 or (p[2] & 0xC0) != 0x80:
        return 0
    if first < 0xF0:
        code[0] = (first & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F)
        return 0 if code[0] < 0x800 or 0xD800 <= code[0] <= 0xDFFF else 3
    if n < 4 or (p[3] & 0xC0) != 0x80:
        return 0
    code[0] = (first & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F)
    return 0 if code[0] < 0x10000 or code[0] > 0x10FFFF else 4


cdef inline bint _is_unsafe(int code) noexcept nogil:
    # C1 controls, separators of lines, and marks that turn the direction of the text after them.
    return (code < 0xA0 or code == 0xAD or code == 0x061C or 0x200B <= code <= 0x200F or 0x2028 <= code <= 0x202E
            or 0x2060 <= code <= 0x206F or code == 0xFEFF or 0xFFF9 <= code <= 0xFFFB)


cdef inline uint64_t _zeroes(uint64_t octets) noexcept nogil:
    # Not 0 when one of the eight octets is.
    return (octets - ONES) & ~octets & HIGHS


cdef inline bint _is_plain(const uint8_t* p) noexcept nogil:
    # Whether the eight octets at p all become themselves, as most do: none is below 32, above 126, " or a backslash.
    cdef uint64_t octets
    memcpy(&octets, p, 8)
    return ((octets | (octets - ONES * 32) | _zeroes(octets ^ ONES * 0x22) | _zeroes(octets ^ ONES * 0x5C)
             | _zeroes(octets ^ ONES * 0x7F)) & HIGHS) == 0


cdef int _put_text(Out* out, const char* text, Py_ssize_t n, Py_ssize_t limit) except -1:
    # The body of a JSON string; at most 6 octets for each octet of text.
    cdef const uint8_t* p = <const uint8_t*>text
    cdef Py_ssize_t at = 0, run = 0
    cdef int kind, length, code = 0
    cdef bint is_cut = n > limit
    if is_cut:
        n = limit
        while n > 0 and limit - n < 3 and (p[n] & 0xC0) == 0x80:
            n -= 1
    _reserve(out, 6 * n + 8)
    while at < n:
        if n - at >= 8 and _is_plain(p + at):
            at += 8
            continue
        kind = _class[p[at]]
        if kind == 0:
            at += 1
            continue
        _put(out, text + run, at - run)
        if kind == 1:
            _put_u16(out, p[at])
            at += 1
        elif kind == 2:
            length = _sequence(p + at, n - at, &code)
            if length == 0:
                _put(out, b"\\\\x", 3)
                _put_char(out, _hex[p[at] >> 4])
                _put_char(out, _hex[p[at] & 15])
                at += 1
            elif _is_unsafe(code):
                _put_u16(out, code)
                at += length
            else:
                _put(out, text + at, length)
                at += length
        else:
            _put_char(out, 0x5C)
            _put_char(out, <char>kind)
            at += 1
        run = at
    _put(out, text + run, n - run)
    if is_cut:
        _put(out, b"\xe2\x80\xa6", 3)
    return 0


# ---- time -----------------------------------------------------------------------------------------------------------

cdef int64_t _last_ms = -1
cdef char[24] _last_text


cdef void _put_time(Out* out, int64_t now_us) noexcept:
    # RFC 3339, UTC, milliseconds: 2026-01-02T03:04:05.678Z. The text of the last millisecond is kept.
    global _last_ms
    cdef int64_t ms = now_us // 1000
    cdef time_t second
    cdef tm parts
    cdef Out text
    if now_us < 0:
        ms = 0
    elif ms > 253402300799999:
        ms = 253402300799999
    if ms != _last_ms:
        second = ms // 1000
        gmtime_r(&second, &parts)
        text.p, text.used, text.size, text.is_heap = _last_text, 0, 24, False
        _put_number(&text, parts.tm_year + 1900, 4)
        _put_char(&text, b"-")
        _put_number(&text, parts.tm_mon + 1, 2)
        _put_char(&text, b"-")
        _put_number(&text, parts.tm_mday, 2)
        _put_char(&text, b"T")
        _put_number(&text, parts.tm_hour, 2)
        _put_char(&text, b":")
        _put_number(&text, parts.tm_min, 2)
        _put_char(&text, b":")
        _put_number(&text, parts.tm_sec, 2)
        _put_char(&text, b".")
        _put_number(&text, ms % 1000, 3)
        _put_char(&text, b"Z")
        _last_ms = ms
    _put(out, _last_text, 24)


# ---- values ---------------------------------------------------------------------------------------------------------

cdef int _put_integer(Out* out, object value, int form) except -1:
    cdef int overflow = 0
    cdef int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow)
    cdef uint64_t size
    cdef bytes digits
    if overflow:
        digits = str(int(value)).encode("ascii")
        _reserve(out, PyBytes_GET_SIZE(digits))
        _put(out, PyBytes_AS_STRING(digits), PyBytes_GET_SIZE(digits))
        return 0
    _reserve(out, 32)
    if form & C_TIME:
        _put_char(out, b'"')
        _put_time(out, number)
        _put_char(out, b'"')
        return 0
    size = <uint64_t>number
    if number < 0:
        _put_char(out, b"-")
        size = 0 - size
    if form & C_SECONDS:
        _put_number(out, size // 1000000, 1)
        _put_char(out, b".")
        _put_number(out, size % 1000000, 6)
    else:
        _put_number(out, size, 1)
    return 0


cdef int _put_float(Out* out, double value) except -1:
    # JSON has no infinity and no NaN (RFC 8259 6): they are written as null.
    cdef char* digits
    _reserve(out, 32)
    if value != value or value - value != 0:
        _put(out, b"null", 4)
        return 0
    digits = PyOS_double_to_string(value, b"r", 0, 0, NULL)
    cdef Py_ssize_t n = 0
    while digits[n]:
        n += 1
    _put(out, digits, n)
    PyMem_Free(digits)
    return 0


cdef int _put_string(Out* out, object value) except -1:
    # bytes or str, with its quotation marks.
    cdef const char* text
    cdef Py_ssize_t n = 0
    _reserve(out, 1)
    _put_char(out, b'"')
    if isinstance(value, bytes):
        _put_text(out, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), C_TEXT_LIMIT)
    else:
        try:
            text = PyUnicode_AsUTF8AndSize(value, &n)
        except UnicodeEncodeError:
            value = (<str>value).encode("utf-8", "backslashreplace")
            text = PyBytes_AS_STRING(value)
            n = PyBytes_GET_SIZE(value)
        _put_text(out, text, n, C_TEXT_LIMIT)
    _reserve(out, 1)
    _put_char(out, b'"')
    return 0


cdef int _put_object(Out* out, tuple value) except -1:
    cdef bytes octets = <bytes?>value[0]
    _reserve(out, PyBytes_GET_SIZE(octets))
    _put(out, PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))
    _put_integer(out, value[1], 0)
    _reserve(out, 1)
    _put_char(out, b"}")
    return 0


cdef int _put_list(Out* out, object values, int form) except -1:
    cdef Py_ssize_t count = len(values), at
    cdef bytes rest
    _reserve(out, 2)
    _put_char(out, b"[")
    for at in range(min(count, C_LIST_LIMIT)):
        if at:
            _reserve(out, 1)
            _put_char(out, b",")
        if form & C_JSON:
            _put_object(out, <tuple?>values[at])
        else:
            _put_value(out, values[at], form, False)
    if count > C_LIST_LIMIT:
        _reserve(out, 1)
        _put_char(out, b",")
        rest = b"\xe2\x80\xa6 and %d more" % (count - C_LIST_LIMIT)
        _put_string(out, rest)
    _reserve(out, 1)
    _put_char(out, b"]")
    return 0


cdef int _put_value(Out* out, object value, int form, bint may_be_list) except -1:
    if isinstance(value, (bytes, str)):
        _put_string(out, value)
    elif value is True or value is False:
        _reserve(out, 5)
        if value:
            _put(out, b"true", 4)
        else:
            _put(out, b"false", 5)
    elif isinstance(value, int):
        _put_integer(out, value, form)
    elif isinstance(value, float):
        _put_float(out, PyFloat_AS_DOUBLE(value))
    elif value is None:
        _reserve(out, 4)
        _put(out, b"null", 4)
    elif may_be_list and isinstance(value, (tuple, list)):
        _put_list(out, value, form)
    else:
        raise TypeError(f"a log line holds text, numbers and flat lists of them, not {type(value).__name__}")
    return 0


cdef inline bint _is_empty(object value) except -1:
    if isinstance(value, bytes):
        return PyBytes_GET_SIZE(value) == 0
    return isinstance(value, (str, tuple, list)) and len(value) == 0


@cython.final
cdef class Line:
    """One kind of log line."""

    def __init__(self, str kind, fields):
        """``fields``: (name, form) pairs in the order in which build() takes their values."""
        self.kind = kind
        self.names = tuple(name for name, _ in fields)
        self._head = b'","kind":"' + escape(kind.encode()) + b'"'
        self._keys = [b',"' + escape(name.encode()) + b'":' for name in self.names]
        self._forms = bytes(form for _, form in fields)

    cpdef bytes build(self, int64_t now_us, tuple values):
        """The line, LF included: ``time`` and ``kind``, then the fields that are not None.

        ``now_us`` in microseconds since the epoch. A value is bytes (UTF-8 or any octets), str, int, float, bool,
        None, or a tuple or list of these. Raises ValueError for a wrong number of values and TypeError for any other
        type; nothing that the values hold can make it fail.
        """
        cdef char[STACK] stack
        cdef Out out
        cdef Py_ssize_t at
        cdef int form
        cdef object value
        cdef bytes key
        if len(values) != len(self._keys):
            raise ValueError(f"a line of the kind {self.kind} has {len(self._keys)} values, not {len(values)}")
        out.p, out.used, out.size, out.is_heap = stack, 0, STACK, False
        try:
            _put(&out, b'{"time":"', 9)
            _put_time(&out, now_us)
            _reserve(&out, PyBytes_GET_SIZE(self._head))
            _put(&out, PyBytes_AS_STRING(self._head), PyBytes_GET_SIZE(self._head))
            for at in range(len(values)):
                value = values[at]
                form = <uint8_t>PyBytes_AS_STRING(self._forms)[at]
                if value is None or (not form & C_ALWAYS and _is_empty(value)):
                    continue
                key = <bytes>self._keys[at]
                _reserve(&out, PyBytes_GET_SIZE(key))
                _put(&out, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
                _put_value(&out, value, form, True)
            _reserve(&out, 2)
            _put(&out, b"}\n", 2)
            return PyBytes_FromStringAndSize(out.p, out.used)
        finally:
            if out.is_heap:
                PyMem_Free(out.p)


def event_line(int64_t now_us, fields):
    """A line of the kind ``event`` with the given names and values (as for Line.build), LF included."""
    return Line("event", [(name, PLAIN) for name in fields]).build(now_us, tuple(fields.values()))


def escape(bytes octets, Py_ssize_t limit=C_TEXT_LIMIT):
    """The body of a JSON string for any octets: what _put_text makes of them; cut at ``limit`` octets."""
    cdef char[STACK] stack
    cdef Out out
    out.p, out.used, out.size, out.is_heap = stack, 0, STACK, False
    try:
        _put_text(&out, PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets), max(0, limit))
        return PyBytes_FromStringAndSize(out.p, out.used)
    finally:
        if out.is_heap:
            PyMem_Free(out.p)


def timestamp(int64_t now_us):
    """RFC 3339 in UTC with milliseconds; times before 1970 or after 9999 are moved to that end."""
    cdef char[24] text
    cdef Out out
    out.p, out.used, out.size, out.is_heap = text, 0, 24, False
    _put_time(&out, now_us)
    return PyBytes_FromStringAndSize(out.p, out.used)
