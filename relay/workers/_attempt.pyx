# cython: language_level=3, auto_pickle=False, autotestdict=False
"""One entry with its record, while it is being tried. Documented in _attempt.pyi.

Theory: it *is* the delivery that a session takes, with what the queue knows of it: one object a message.
"""

from relay.delivery._delivery cimport Delivery
from relay.queue._entry cimport Entry

from relay.spool.reader import Message as _Message


cdef class Attempt(Delivery):

    def __init__(self, Entry entry not None, record not None, content not None):
        # Records and envelopes are named tuples: what has a C field here is read by its place in them.
        cdef tuple envelope = <tuple>(<tuple>record)[4]
        cdef object large = (<tuple>record)[7]
        cdef object indexes = entry.indexes
        cdef tuple recipients = envelope[3]
        if indexes is not None:
            recipients = tuple([recipients[index] for index in indexes])
        self.entry = entry
        self.record = record
        self.envelope = envelope
        self.connect_seconds = -1.0
        self.reverse_path = envelope[2]
        self.recipients = recipients
        self.flags = envelope[4]
        self.size = envelope[5]
        self.content = content
        self.path = None if large is None else str(large.path)

    @property
    def message(self):
        return _Message(self.record, self.content)
