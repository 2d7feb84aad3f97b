# cython: language_level=3
"""C declarations of relay/smtp/_submitted.pyx."""


# The header section octets[:end) without its Bcc and Resent-Bcc fields; None when it has none of them.
cpdef bytes without_blind(bytes octets, Py_ssize_t end)
