"""C declarations of relay/delivery/_machine.pyx, for _client.pyx."""

from relay.delivery._replies cimport ReplyScan
from relay.delivery._delivery cimport Delivery
from relay.delivery._flight cimport Flight


cdef class ClientMachine(Flight):
    cdef:
        bytes hostname
        Py_ssize_t taken, max_messages
        Py_ssize_t sent, accepted
        bint mail_refused
        bint is_probe           # ``current`` goes in chunks, and the first of them asks whether the peer knows BDAT
        int stuff_state
        Py_ssize_t streamed
        bytes stream_tail

    cdef int feed(self, bytes octets) except -1
    cdef int expired(self) except -1
    cdef int wake_up(self) except -1
    cdef int quit_soon(self) except -1
    cdef bytes stream_chunk(self, bytes octets)
    cdef int stream_end(self) except -1

    cdef int on_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1
    cdef int on_endless_refusal(self, const char* p, Py_ssize_t at, Py_ssize_t n, ReplyScan* reply) except -1
    cdef int on_greeting_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1
    cdef int on_end_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1
    cdef int on_envelope_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1
    cdef int on_data_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1
    cdef int on_probe_reply(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1
    cdef int end_without_content(self, const char* p, Py_ssize_t at, Py_ssize_t end, ReplyScan* reply) except -1
    cdef int on_early_reply(self, const char* p, Py_ssize_t at, Py_ssize_t n) except -1
    cdef int read_offer(self, const char* p, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int move_on(self) except -1
    cdef int send_content(self) except -1
    cdef int send_rest(self) except -1
    cdef int send_end(self, bint needs_crlf) except -1
    cdef int content_sent(self) except -1
    cdef int take_next(self) except -1
    cdef int send_mail(self, Delivery delivery) except -1
    cdef int send_next_command(self) except -1
