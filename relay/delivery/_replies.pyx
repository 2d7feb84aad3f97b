# cython: language_level=3
"""Replies, as the client reads them (RFC 5321 4.2, RFC 2034).

Theory: as in relay/_fastparse.pyx, a scan takes a pointer and offsets, owns nothing and raises nothing; what is wrong is a
value, and half a reply is "more". A server whose replies cannot be told apart must not be taken to have accepted
anything, so whatever is not a reply by the letter is a fault.
Invariant: no octet at or beyond ``n`` (``end``) is read.

Not here: what a reply means for a delivery (_transactions.pyx). The ``def`` functions at the end are for the tests, which
compare the scan with a slow twin.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memset

from relay._fastparse cimport decimal, equals, find, invariant, is_digit, octets_t


cdef Py_ssize_t _read_number(octets_t p, Py_ssize_t at, Py_ssize_t end, int* number) noexcept nogil:
    """Reads 1 to 3 digits; returns the offset past them, -1 when there are none or more."""
    cdef Py_ssize_t start = at
    number[0] = 0
    while at < end and is_digit(p[at]) and at - start < 4:
        number[0] = number[0] * 10 + p[at] - c'0'
        at += 1
    return at if 1 <= at - start <= 3 else -1


cdef struct Status:
    int cls
    int subject
    int detail


cdef Py_ssize_t _read_status(octets_t p, Py_ssize_t at, Py_ssize_t end, int code, Status* status) noexcept nogil:
    """Reads the enhanced status (RFC 2034 4) at the start of a reply text; returns where the text goes on, -1 without.

    Its class should be the code's. A refusal (4 or 5) whose status is of the other of the two classes has it all the same:
    that is what the peer said; all else belongs to the text. After 4.0.0 and 5.0.0, which say no more than the code, the
    text goes on where it began: these also stand for a status that was not said, and what was said is told as it was.
    """
    cdef Py_ssize_t start = at
    if end - at < 5 or p[at + 1] != c'.':
        return -1
    if not (p[at] == c'2' and code // 100 == 2 or code >= 400 and c'4' <= p[at] <= c'5'):
        return -1
    status.cls = p[at] - c'0'
    at = _read_number(p, at + 2, end, &status.subject)
    if at < 0 or at == end or p[at] != c'.':
        return -1
    at = _read_number(p, at + 1, end, &status.detail)
    if at < 0 or at < end and p[at] != c' ':
        return -1
    if code >= 400 and not status.subject and not status.detail:
        return start
    return at + 1 if at < end else at


cdef int _judge_reply_line(octets_t p, Py_ssize_t at, Py_ssize_t lf, int code) noexcept nogil:
    """What is wrong with the reply line p[at:lf]; ``code`` is the first line's, or 0 for the first line."""
    if lf == at or p[lf - 1] != c'\r' or find(p, 0, at, lf) >= 0:
        return R_BARE_LF
    if (lf - 1 - at < 3 or not c'2' <= p[at] <= c'5' or not is_digit(p[at + 1]) or not is_digit(p[at + 2])
            or lf - 1 - at > 3 and p[at + 3] != c' ' and p[at + 3] != c'-'):
        return R_SYNTAX
    if code and code != (p[at] - c'0') * 100 + (p[at + 1] - c'0') * 10 + p[at + 2] - c'0':
        return R_CODE_CHANGED
    return R_NONE


cdef Py_ssize_t scan_reply(const char* p, Py_ssize_t start, Py_ssize_t n, ReplyScan* out) noexcept nogil:
    cdef octets_t octets = <octets_t>p
    cdef Py_ssize_t at = start, lf, text, after_status
    cdef Status status
    memset(out, 0, sizeof(ReplyScan))
    while True:
        lf = find(octets, c'\n', at, n)
        if (lf if lf >= 0 else n - 1) + 1 - start > REPLY_LIMIT:
            out.fault = R_TOO_LONG
            return -2
        if lf < 0:
            return -1
        out.fault = _judge_reply_line(octets, at, lf, out.code)
        if out.fault:
            return -2
        out.code = (p[at] - c'0') * 100 + (p[at + 1] - c'0') * 10 + p[at + 2] - c'0'
        out.lines += 1
        text = at + 4 if lf - 1 - at > 3 else lf - 1
        after_status = _read_status(octets, text, lf - 1, out.code, &status)
        if lf - 1 - at > 3 and p[at + 3] == c'-':
            if after_status >= 0 and out.lines == 1:
                out.status_class, out.status_subject, out.status_detail = status.cls, status.subject, status.detail
            at = lf + 1
            continue
        if after_status >= 0:
            out.status_class, out.status_subject, out.status_detail = status.cls, status.subject, status.detail
        out.text_start = after_status if after_status >= 0 else text
        out.text_end = lf - 1
        invariant(start <= out.text_start <= out.text_end < lf < n)
        return lf + 1


cdef Py_ssize_t next_reply_line(const char* p, Py_ssize_t at, Py_ssize_t end,
                                Py_ssize_t* text_start, Py_ssize_t* text_end) noexcept nogil:
    cdef Py_ssize_t lf = find(<octets_t>p, c'\n', at, end)
    if lf < at + 4:
        return -1
    text_start[0] = at + 4 if lf - 1 - at > 3 else lf - 1
    text_end[0] = lf - 1
    return lf + 1


cdef bytes reply_text(const char* p, Py_ssize_t start, Py_ssize_t end):
    cdef Py_ssize_t at = start, text_start = 0, text_end = 0, after_status
    cdef int code = 0
    cdef Status status
    cdef list texts = []
    while at < end:
        code = (p[at] - c'0') * 100
        at = next_reply_line(p, at, end, &text_start, &text_end)
        if at < 0:
            break
        after_status = _read_status(<octets_t>p, text_start, text_end, code, &status)
        if after_status >= 0:
            text_start = after_status
        if text_end > text_start:
            texts.append(PyBytes_FromStringAndSize(p + text_start, text_end - text_start))
    return b" ".join(texts)


cdef void read_extensions(const char* p, Py_ssize_t at, Py_ssize_t end, Extensions* offered) noexcept:
    """Each line after the first is a keyword and its parameters."""
    cdef Py_ssize_t start = 0, stop = 0, space
    at = next_reply_line(p, at, end, &start, &stop)
    while True:
        at = next_reply_line(p, at, end, &start, &stop)
        if at < 0:
            return
        space = start
        while space < stop and p[space] != 0x20:
            space += 1
        if equals(p, start, space, b"PIPELINING"):
            offered.pipelining = True
        elif equals(p, start, space, b"CHUNKING"):
            offered.chunking = True
        elif equals(p, start, space, b"8BITMIME"):
            offered.eight_bit_mime = True
        elif equals(p, start, space, b"SMTPUTF8"):
            offered.smtputf8 = True
        elif equals(p, start, space, b"SIZE"):
            offered.has_size = True
            while space < stop and p[space] == 0x20:
                space += 1
            # RFC 1870 4: no number, or 0, means that no fixed limit is in force.
            offered.size_limit = max(0, decimal(p, space, stop))


# --- for the tests; documented in _replies.pyi ---

REPLY_FAULTS = ("", "syntax", "code-changed", "bare-lf", "too-long")


def parse_reply(bytes octets, Py_ssize_t start=0):
    cdef ReplyScan r
    if not 0 <= start <= len(octets):
        raise ValueError("start lies outside the octets")
    cdef Py_ssize_t after = scan_reply(octets, start, len(octets), &r)
    if after < 0:
        return after, REPLY_FAULTS[r.fault], 0, "", b"", b""
    status = f"{r.status_class}.{r.status_subject}.{r.status_detail}" if r.status_class else ""
    return after, "", r.code, status, octets[r.text_start:r.text_end], reply_text(octets, start, after)


def reply_lines(bytes reply):
    cdef Py_ssize_t at = 0, start = 0, end = 0
    cdef list lines = []
    while True:
        at = next_reply_line(reply, at, len(reply), &start, &end)
        if at < 0:
            return lines
        lines.append(reply[start:end])
