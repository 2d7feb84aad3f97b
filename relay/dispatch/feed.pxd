# cython: language_level=3
"""C declarations of relay/dispatch/feed.py."""

from relay.delivery._delivery cimport Delivery
from relay.queue._entry cimport Entry as _Entry
from relay.queue.group cimport Connection
from relay.queue.scheduler cimport Scheduler as _Scheduler
from relay.spool.reader cimport LogReader as _LogReader
from relay.dispatch._attempt cimport Attempt, new_attempt
from relay.dispatch.feeds cimport Feeds as _Feeds
from relay.net.clock cimport now_us
from relay.dispatch.settle cimport Settler as _Settler


cpdef object load(_LogReader reader, _Entry entry)


cdef class Feed:
    cdef _Feeds _feeds
    cdef _LogReader _reader
    cdef _Scheduler _scheduler
    cdef _Settler _settler
    cdef readonly Connection connection
    cdef readonly object client
    cdef readonly bint is_open
    cdef double _began, _opened_after
    cdef object __weakref__

    cpdef Delivery take(self, object client)
    cpdef object finished(self, object client, Delivery delivery, list outcomes)
    cdef object _opened(self, object client)
    cdef object _settle_unread(self, _Entry entry, object outcome)
