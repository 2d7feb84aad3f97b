# cython: language_level=3, auto_pickle=False
"""A connected socket that can begin TLS as a client: a Stream in the clear; then encryption is one more step between the
socket and the subclass, in the same calls.

Theory: start_tls() is called when the peer expects a ClientHello (after its reply to STARTTLS, or at once). From then on
everything that is read belongs to TLS, and nothing may be written before on_secured(). What is written after that is
encrypted in portions, each when the kernel has taken the one before. So a content of many megabytes, or one that is lent
by its owner, is never in memory twice, and is_choked() and on_drained() hold a writer back as they do without TLS.

Deadline: the handshake's own, in the wheel that start_tls() gets; all others are the subclass's.

Invariants: as of Stream. After start_tls() nothing that is written leaves in the clear. on_refused() is called at most
once, and the socket is closed right after it. Plaintext waits only while the kernel takes no more (is_choked()).
on_ended() is called once, for close_notify or the end of the connection, whichever is first.

Traps: what was read together with the reply to STARTTLS came in the clear, and whoever read it must refuse it (RFC 3207
4.2: an attacker could have inserted it). A server can make TLS itself answer (key updates); one that does so without
reading the answers is cut off. Closing a socket with unread input makes the kernel send a reset, and the peer may lose
what was sent (RFC 1122 4.2.2.13); a TLS 1.3 server sends tickets unasked. So while something is left to be sent, close()
reads on and throws away what comes.

Not here: TLS (tls_machine.py, tls_client.py); the server's side, which has a session behind it that decides more
(relay/smtp/_connection.pyx).
"""

from cpython.bytes cimport PyBytes_GET_SIZE

from relay.net._poll cimport Poll
from relay.net._stream cimport Stream

from relay.net.tls_client import TlsFailure
from relay.net.tls_machine import TlsError

cdef enum:
    PORTION = 65536         # octets encrypted at a time: four records
    MOST_UNSENT = 1048576   # of what is encrypted; our own part of it is at most a portion

cdef enum:
    NOTHING
    SHUT
    CLOSE


cdef class TlsStream(Stream):

    def open(self, Poll poll not None, int descriptor, bint is_connecting=True):
        self.attach(poll, descriptor, is_connecting)

    def start_tls(self, connection not None, wheel not None, double deadline):
        if (self.tls is not None or self.fd < 0 or self.is_connecting or self.unsent is not None
                or self.is_shut or self.is_closing):
            raise RuntimeError("not a stream that can begin TLS")
        self.tls = connection
        self.wheel = wheel
        self.timer = wheel.add(deadline, self)
        self.flush()

    def expire(self, double now):
        """The handshake's deadline has passed."""
        self.timer = None
        if self.fd < 0 or self.is_secure:
            return
        if self.is_closing:
            Stream.abort(self)
        else:
            self.refuse(self.tls.timed_out())

    # --- for the subclass ---

    cpdef Py_ssize_t count_unsent(self) except -1:
        cdef Py_ssize_t count = Stream.count_unsent(self)
        return count if self.plain is None else count + sum([len(part) for part in self.plain]) - self.plain_at

    cpdef int write(self, bytes octets, bint is_last=False) except -1:
        if self.tls is None:
            return Stream.write(self, octets, is_last)
        return self.write_parts([octets])

    cpdef int write_parts(self, list parts) except -1:
        if self.tls is None:
            return Stream.write_parts(self, parts)
        if self.fd < 0 or self.is_shut or self.is_closing or self.after or not parts:
            return 0
        if not self.is_secure:
            raise RuntimeError("nothing may be written while the TLS handshake goes on")
        if self.plain is not None:
            self.plain.extend(parts)
            return 0
        self.plain = parts
        self.plain_at = 0
        return self.encrypt()

    cpdef int pause(self) except -1:
        return Stream.pause(self)

    cpdef int resume(self) except -1:
        return Stream.resume(self)

    cpdef int shut(self) except -1:
        if self.fd < 0 or self.is_shut or self.is_closing or self.after:
            return 0
        if self.plain is not None:
            self.after = SHUT
            return 0
        if self.is_secure:
            self.tls.close()
            self.flush(True)
        return Stream.shut(self)

    cpdef int close(self) except -1:
        if self.fd < 0 or self.is_closing:
            return 0
        if self.plain is not None:
            self.after = CLOSE
            return Stream.resume(self)      # see the traps
        if self.is_secure and not self.is_shut:
            self.tls.close()
            self.flush(True)
        return Stream.close(self)

    cpdef int abort(self) except -1:
        return Stream.abort(self)

    # --- hooks ---

    cpdef object on_connected(self):
        pass

    cpdef object on_received(self, bytes octets):
        pass

    cpdef object on_secured(self, object result):
        pass

    cpdef object on_refused(self, object failure):
        pass

    cpdef object on_ended(self):
        self.close()

    cpdef object on_drained(self):
        pass

    cpdef object on_lost(self, int error):
        pass

    # --- called by Stream ---

    cdef int connected(self) except -1:
        self.on_connected()
        return 0

    cdef int received(self, bytes octets) except -1:
        if self.tls is None:
            self.on_received(octets)
            return 0
        return self.decrypt(octets) if self.is_secure else self.negotiate(octets)

    cdef int ended(self) except -1:
        if self.after == CLOSE:
            return 0
        if self.tls is not None and not self.is_secure:
            return self.refuse(self.tls.closed())
        self.on_ended()
        return 0

    cdef int drained(self) except -1:
        if self.plain is not None:
            self.encrypt()
            if self.unsent is not None or self.fd < 0:
                return 0
        if self.tls is None or self.is_secure:
            self.on_drained()
        return 0

    cdef int lost(self, int error) except -1:
        cdef bint is_refused = error and self.tls is not None and not self.is_secure and not self.is_closing
        self.stop_timer()
        self.plain = None
        if is_refused:
            self.on_refused(self.tls.closed())
        self.on_lost(error)
        return 0

    # --- TLS ---

    cdef int negotiate(self, bytes octets) except -1:
        cdef object result = self.tls.negotiate(octets)
        self.flush()
        if result is None or self.fd < 0:
            return 0
        if isinstance(result, TlsFailure):
            return self.refuse(result)
        self.is_secure = True
        self.stop_timer()
        self.on_secured(result)
        return 0 if self.fd < 0 or self.is_closing else self.decrypt(b"")   # what came behind the last flight

    cdef int decrypt(self, bytes octets) except -1:
        cdef bytes plaintext
        try:
            plaintext = self.tls.receive(octets)
        except TlsError as fault:
            self.flush()
            return self.refuse(self.tls.broken(fault))
        if self.tls.has_output:
            self.flush()
            if Stream.count_unsent(self) > MOST_UNSENT:
                return self.refuse(self.tls.broken(TlsError("it asks for answers and does not read them", "protocol")))
        if self.after == CLOSE:
            return 0
        if PyBytes_GET_SIZE(plaintext):
            self.on_received(plaintext)
        if self.fd >= 0 and not self.has_ended and not self.is_closing and self.tls.is_closed:
            self.has_ended = True
            self.adjust()
            self.on_ended()
        return 0

    cdef int flush(self, bint is_last=False) except -1:
        """Sends what TLS has to send."""
        cdef bytes octets = self.tls.take_output()
        return Stream.write(self, octets, is_last) if PyBytes_GET_SIZE(octets) else 0

    cdef int encrypt(self) except -1:
        """Encrypts and sends what waits, until there is no more or the kernel takes no more; then what follows."""
        cdef int after
        while self.plain is not None and self.unsent is None and self.fd >= 0:
            self.encrypt_some()
            self.flush()
        if self.plain is None and self.after and self.fd >= 0:
            after, self.after = self.after, NOTHING
            return self.shut() if after == SHUT else self.close()
        return 0

    cdef int encrypt_some(self) except -1:
        """The next portion of what waits, small parts of it in one record."""
        cdef Py_ssize_t room = PORTION, size
        cdef list portion = []
        while room and self.plain:
            part = self.plain[0]
            size = min(room, len(part) - self.plain_at)
            portion.append(part if size == len(part) else memoryview(part)[self.plain_at:self.plain_at + size])
            room -= size
            self.plain_at += size
            if self.plain_at == len(part):
                del self.plain[0]
                self.plain_at = 0
        if not self.plain:
            self.plain = None
        self.tls.send(portion[0] if len(portion) == 1 else b"".join(portion))
        return 0

    cdef int refuse(self, object failure) except -1:
        """There is no TLS with this peer: nothing of it is of use any more."""
        self.stop_timer()
        self.is_closing = True              # nothing is written by on_refused(), and lost() does not call it again
        self.on_refused(failure)
        return Stream.abort(self)

    cdef int stop_timer(self) except -1:
        if self.timer is not None:
            self.wheel.cancel(self.timer)
            self.timer = None
        return 0
