# cython: language_level=3
"""C declarations of relay/net/_tls_stream.pyx."""

from relay.net._poll cimport Poll
from relay.net._stream cimport Stream


cdef class TlsStream(Stream):
    """A connected socket that can begin TLS as a client. A subclass decides what becomes of what is read."""
    cdef object tls                 # ClientConnection (tls_client.py); None: in the clear
    cdef readonly bint is_secure    # the handshake is done, and conforms to the policy
    cdef object wheel, timer        # the deadline of the handshake
    cdef list plain                 # what is not encrypted yet, since the kernel takes no more; or None
    cdef Py_ssize_t plain_at        # octets of the first that are encrypted
    cdef int after                  # what follows when all of it is sent: NOTHING, SHUT or CLOSE

    # Octets written and not taken by the kernel, encrypted or not, as Stream has it.
    cpdef Py_ssize_t count_unsent(self) except -1
    cpdef int write(self, bytes octets, bint is_last=*) except -1
    cpdef int write_parts(self, list parts) except -1
    cpdef int pause(self) except -1
    cpdef int resume(self) except -1
    cpdef int shut(self) except -1
    cpdef int close(self) except -1
    cpdef int abort(self) except -1

    # Hooks of a subclass. Any of them may call any of the above.
    cpdef object on_connected(self)             # the peer has accepted; on_lost() when it has not
    cpdef object on_received(self, bytes octets)    # plaintext
    cpdef object on_secured(self, object result)    # Secured: the handshake is done
    cpdef object on_refused(self, object failure)   # TlsFailure: on_lost() follows at once
    cpdef object on_ended(self)                 # the peer sends no more
    cpdef object on_drained(self)               # all that was written is sent
    cpdef object on_lost(self, int error)       # once, the socket is closed; 0, or why (errno)

    cdef int negotiate(self, bytes octets) except -1
    cdef int decrypt(self, bytes octets) except -1
    cdef int flush(self, bint is_last=*) except -1
    cdef int encrypt(self) except -1
    cdef int encrypt_some(self) except -1
    cdef int refuse(self, object failure) except -1
    cdef int stop_timer(self) except -1
