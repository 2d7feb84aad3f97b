# cython: language_level=3, auto_pickle=False, autotestdict=False
"""One entry with its record, while it is being tried. Documented in _attempt.pyi.

Theory: it *is* the delivery that a session takes, with what the queue knows of it: one object a message.
"""

from relay.delivery._delivery cimport Delivery
from relay.queue._entry cimport Entry

from relay.spool.reader import Message as _Message


cdef class Attempt(Delivery):

    def __init__(self, Entry entry not None, record not None, content=None):
        _fill(self, entry, record, content)

    @property
    def number(self):
        return self.entry.number

    @property
    def message(self):
        return _Message(self.record, self.content)


cpdef Attempt new_attempt(Entry entry, object record, object content):
    cdef Attempt attempt = Attempt.__new__(Attempt)
    _fill(attempt, entry, record, content)
    return attempt


cdef int _fill(Attempt attempt, Entry entry, object record, object content) except -1:
    # Records and envelopes are named tuples: what has a C field here is read by its place in them.
    cdef tuple envelope = <tuple>(<tuple>record)[4]
    cdef object large = (<tuple>record)[7]
    cdef object indexes = entry.indexes
    cdef tuple recipients = envelope[3]
    if indexes is not None:
        recipients = tuple([recipients[index] for index in indexes])
    attempt.entry = entry
    attempt.record = record
    attempt.envelope = envelope
    attempt.connect_seconds = -1.0
    attempt.reverse_path = envelope[2]
    attempt.recipients = recipients
    attempt.flags = envelope[4]
    attempt.size = envelope[5]
    attempt.content = (<tuple>record)[8] if content is None else content
    attempt.path = None if large is None else str(large.path)
    return 0
