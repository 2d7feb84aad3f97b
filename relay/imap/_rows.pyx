# cython: language_level=3, auto_pickle=False
"""Responses of FETCH for a run of messages, written from columns (columns.py).

Theory: two passes over the columns. The first says how long all of it is at most, the second copies. So a run costs one
buffer, and a message no object of its own.

Not here: what the columns are.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy

cdef enum:
    DIGITS = 20             # of the largest number
    FRAME = 2 + DIGITS + 8 + 3
    DATE = 28               # "17-Jul-1996 02:44:25 +0000" with its quotes
    DAY = 86400

cdef int64_t YEAR_10000 = 253402300800
cdef const char* MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"


cdef class Numbers:
    cdef bytes lead
    cdef bytes tail
    cdef list values

    def __init__(self, bytes lead not None, list values not None, bytes tail not None = b""):
        self.lead, self.values, self.tail = lead, values, tail

    def __len__(self):
        return len(self.values)


cdef class Texts:
    cdef bytes lead
    cdef list values
    cdef bint are_literals

    def __init__(self, bytes lead not None, list values not None, bint are_literals=False):
        self.lead, self.values, self.are_literals = lead, values, are_literals

    def __len__(self):
        return len(self.values)


def joined(list run not None, list columns not None):
    cdef Py_ssize_t count = len(run), at, size = 0
    cdef list made = []
    cdef list is_whole = [True] * count
    cdef char* octets
    cdef char* end
    for column in columns:
        if len(column) != count:
            raise ValueError("a column is not as long as the run")
        size += count + _longest(column, is_whole)
    octets = <char*>malloc(size + count * FRAME + 1)
    if octets == NULL:
        raise MemoryError
    try:
        end = octets
        for at in range(count):
            if is_whole[at]:
                end = _row(end, run[at], columns, at)
                continue
            if end != octets:
                made.append(PyBytes_FromStringAndSize(octets, end - octets))
                end = octets
            made.append(run[at])
        if end != octets:
            made.append(PyBytes_FromStringAndSize(octets, end - octets))
    finally:
        free(octets)
    return made


def dates(list seconds not None):
    cdef char[DATE] octets
    cdef list made = []
    cdef int64_t at
    for value in seconds:
        at = value
        if 0 <= at < YEAR_10000:
            _date(octets, at)
            made.append(PyBytes_FromStringAndSize(octets, DATE))
        else:
            made.append(None)
    return made


cdef Py_ssize_t _longest(object column, list is_whole) except -1:
    """At most so many octets; marks rows that miss a value."""
    cdef Py_ssize_t size = 0, at
    cdef Texts texts
    if isinstance(column, Numbers):
        return len(column) * (PyBytes_GET_SIZE((<Numbers>column).lead) + DIGITS + PyBytes_GET_SIZE((<Numbers>column).tail))
    texts = column
    for at in range(len(texts.values)):
        value = texts.values[at]
        if value is None:
            is_whole[at] = False
        else:
            size += len(<bytes?>value)
    return size + len(texts.values) * (PyBytes_GET_SIZE(texts.lead) + (DIGITS + 4 if texts.are_literals else 0))


cdef char* _row(char* end, uint64_t index, list columns, Py_ssize_t at) except NULL:
    cdef Numbers numbers
    cdef Texts texts
    cdef bint is_first = True
    memcpy(end, b"* ", 2)
    end = _number(end + 2, index + 1)
    memcpy(end, b" FETCH (", 8)
    end += 8
    for column in columns:
        if not is_first:
            end[0] = 32
            end += 1
        is_first = False
        if isinstance(column, Numbers):
            numbers = <Numbers>column
            end = _copied(end, numbers.lead)
            end = _number(end, numbers.values[at])
            end = _copied(end, numbers.tail)
        else:
            texts = <Texts>column
            end = _copied(end, texts.lead)
            if texts.are_literals:
                end[0] = 123
                end = _number(end + 1, PyBytes_GET_SIZE(<bytes>texts.values[at]))
                memcpy(end, b"}\r\n", 3)
                end += 3
            end = _copied(end, <bytes>texts.values[at])
            if texts.are_literals:
                _mask_nuls(end - PyBytes_GET_SIZE(<bytes>texts.values[at]), end)
    memcpy(end, b")\r\n", 3)
    return end + 3


cdef char* _copied(char* end, bytes value):
    memcpy(end, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    return end + PyBytes_GET_SIZE(value)


cdef void _mask_nuls(char* at, const char* end) noexcept:
    """No literal but a literal8 may hold a NUL (RFC 3501 4.3.1): 0x80 takes its place, so that all offsets stay."""
    while at < end:
        at = <char*>memchr(at, 0, end - at)
        if at == NULL:
            return
        at[0] = <char>0x80
        at += 1


cdef char* _number(char* end, uint64_t number) noexcept:
    cdef char[DIGITS] digits
    cdef int first = DIGITS
    while True:
        first -= 1
        digits[first] = <char>(48 + number % 10)
        number //= 10
        if not number:
            break
    memcpy(end, &digits[first], DIGITS - first)
    return end + DIGITS - first


cdef void _date(char* octets, int64_t seconds) noexcept:
    """RFC 9051 date-time in UTC; years 1970 to 9999. The calendar as in Hinnant's civil_from_days."""
    cdef int64_t days = seconds // DAY + 719468, left = seconds % DAY
    cdef int64_t era = days // 146097
    cdef int64_t of_era = days - era * 146097
    cdef int64_t year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    cdef int64_t of_year = of_era - (365 * year + year // 4 - year // 100)
    cdef int64_t shifted = (5 * of_year + 2) // 153
    cdef int64_t day = of_year - (153 * shifted + 2) // 5 + 1
    cdef int64_t month = shifted + 3 if shifted < 10 else shifted - 9
    year += era * 400 + (month <= 2)
    memcpy(octets, b'"..-...-.... ..:..:.. +0000"', DATE)
    _two(octets + 1, day)
    if day < 10:
        octets[1] = 32
    memcpy(octets + 4, MONTHS + 3 * (month - 1), 3)
    _two(octets + 8, year // 100)
    _two(octets + 10, year % 100)
    _two(octets + 13, left // 3600)
    _two(octets + 16, left // 60 % 60)
    _two(octets + 19, left % 60)


cdef void _two(char* at, int64_t number) noexcept:
    at[0] = <char>(48 + number // 10)
    at[1] = <char>(48 + number % 10)
