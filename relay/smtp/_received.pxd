# cython: language_level=3
"""C declarations of relay/smtp/_received.pyx."""

cdef str protocol_keyword(bint is_esmtp, bint is_tls, bint is_authenticated, bint is_utf8)
cdef bytes received_field(bytes helo, bint is_odd, str address, bytes hostname, str protocol, str tls, str queue_id,
                          bytes recipient, bytes date)
