# cython: language_level=3
"""The Received field that goes on top of every content (RFC 5321 4.4).

What the client said in HELO or EHLO stands there as it is only when it is a domain name in ASCII (nothing that we add
makes a header section an internationalized one, RFC 6531 3.2) or an address literal. Else the address literal of the
client stands in its place, and what it said behind it, in a comment and made safe (RFC 5322 3.2.2).

It is folded so that no line comes near 998 octets (RFC 5322 2.1.1): each part that a peer chooses stands on a line of its
own and is at most 256 octets long, because the parsers have checked it.

Not here: counting the Received fields of others (the header scan of relay/_fastparse.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

# By authentication, TLS and SMTPUTF8: RFC 3848, RFC 6531 4.3.
_KEYWORDS = ("ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA", "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA")


cdef str protocol_keyword(bint is_esmtp, bint is_tls, bint is_authenticated, bint is_utf8):
    """The ``with`` keyword. After HELO it is SMTP: none of the extensions can have been used."""
    if not is_esmtp:
        return "SMTP"
    return _KEYWORDS[(4 if is_utf8 else 0) + (2 if is_tls else 0) + (1 if is_authenticated else 0)]


cdef inline char* _put(char* at, bytes octets) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(octets)
    memcpy(at, PyBytes_AS_STRING(octets), size)
    return at + size


cdef inline char* _put_text(char* at, const char* text, Py_ssize_t size) noexcept nogil:
    memcpy(at, text, size)
    return at + size


cdef inline char* _put_literal(char* at, bytes ip) noexcept:
    """The address literal (RFC 5321 4.1.3)."""
    at = _put_text(at, b"[", 1)
    if b":" in ip:
        at = _put_text(at, b"IPv6:", 5)
    at = _put(at, ip)
    return _put_text(at, b"]", 1)


cdef inline char* _put_comment(char* at, bytes said) noexcept:
    """What was said with all that could end the comment, or is not printable ASCII, as ``?``."""
    cdef const char* p = PyBytes_AS_STRING(said)
    cdef Py_ssize_t i
    at = _put_text(at, b"(HELO ", 6)
    for i in range(PyBytes_GET_SIZE(said)):
        at[0] = p[i] if 32 <= p[i] < 127 and p[i] not in b"()\\" else c"?"
        at += 1
    return _put_text(at, b")", 1)


cdef bytes received_field(bytes helo, bint is_odd, str address, bytes hostname, str protocol, str tls, str queue_id,
                          bytes recipient, bytes date):
    """The whole field with its CRLF. ``is_odd``: ``helo`` is neither a domain name in ASCII nor an address literal.
    ``tls``, version and cipher, stands in a comment. ``recipient`` is None when there is more than one: a ``for`` clause
    would show each of them who the others are (RFC 5321 7.6)."""
    cdef bytes ip = address.encode("ascii", "replace")
    cdef bytes keyword = protocol.encode()
    cdef bytes secrecy = tls.encode()
    cdef bytes id_octets = queue_id.encode()
    cdef Py_ssize_t size = 128 + (
        PyBytes_GET_SIZE(helo) + PyBytes_GET_SIZE(ip) + PyBytes_GET_SIZE(hostname) + PyBytes_GET_SIZE(keyword)
        + PyBytes_GET_SIZE(secrecy)
        + PyBytes_GET_SIZE(id_octets) + PyBytes_GET_SIZE(date)
        + (PyBytes_GET_SIZE(recipient) if recipient is not None else 0))
    cdef char buffer[1536]
    if size > <Py_ssize_t>sizeof(buffer):
        raise ValueError("a Received field of impossible length")
    cdef char* at = buffer
    at = _put_text(at, b"Received: from ", 15)
    if is_odd:
        at = _put_literal(at, ip)
        at = _put_text(at, b"\r\n\t", 3)
        at = _put_comment(at, helo)
    else:
        at = _put(at, helo)
        at = _put_text(at, b" (", 2)
        at = _put_literal(at, ip)
        at = _put_text(at, b")", 1)
    at = _put_text(at, b"\r\n\tby ", 6)
    at = _put(at, hostname)
    at = _put_text(at, b" (Relay) with ", 14)
    at = _put(at, keyword)
    if secrecy:
        at = _put_text(at, b" (", 2)
        at = _put(at, secrecy)
        at = _put_text(at, b")", 1)
    at = _put_text(at, b" id ", 4)
    at = _put(at, id_octets)
    if recipient is not None:
        at = _put_text(at, b"\r\n\tfor <", 8)
        at = _put(at, recipient)
        at = _put_text(at, b">", 1)
    at = _put_text(at, b";\r\n\t", 4)
    at = _put(at, date)
    at = _put_text(at, b"\r\n", 2)
    return PyBytes_FromStringAndSize(buffer, at - buffer)
