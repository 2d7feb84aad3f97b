# cython: language_level=3
"""C declarations of relay/mail/_envelope.pyx."""


cdef object plain_envelope(const char* octets, Py_ssize_t size)
