"""C declarations of relay/delivery/_delivery.pyx."""

from libc.stdint cimport int64_t

# Flags of relay.mail.envelope.
cdef int BODY_8BIT, SMTPUTF8, DOTS


cdef class Delivery:
    cdef readonly bytes reverse_path
    cdef readonly tuple recipients
    cdef readonly int flags
    cdef readonly Py_ssize_t size
    cdef readonly object content
    cdef readonly str path
    cdef public object tag
    cdef public double taken_at
    cdef public double content_at
    cdef public double finished_at
    cdef tuple original     # reverse-path, recipients and flags while it has its ASCII form
    cdef dict refused       # the outcomes of recipients without one, by their place in the original


cdef tuple objection(Delivery delivery, bint smtputf8, bint eight_bit_mime, int64_t size_limit)
cdef list restore(Delivery delivery, list outcomes)
