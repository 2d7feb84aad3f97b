# cython: language_level=3
"""C declarations of relay/directory/directory.py."""

cimport cython

from relay.directory.resolution cimport Resolution
from relay.directory.tables cimport AccountTable, Table


cdef class Domain:
    cdef bint is_local
    cdef tuple tables
    cdef object asked
    cdef Resolution otherwise


cdef class Directory:
    cdef AccountTable _accounts
    cdef bytes _hostname, _configured_postmaster
    cdef str _delimiter
    cdef bint _is_news
    cdef dict _domains
    cdef Resolution _postmaster

    cpdef object resolve(self, bytes address)
    @cython.locals(place=Domain)
    cpdef bint is_here(self, bytes address) except -1
    cpdef bytes base(self, bytes address)
    cdef bint _takes_over(self) except -1
    @cython.locals(place=Domain)
    cdef bint _lacks_account(self, bytes address) except -1
    @cython.locals(place=Domain, table=Table)
    cdef object _find(self, bytes address, bint may_ask)
    cdef object _missed(self, Domain place, bytes address, bint may_ask)
    @cython.locals(table=Table)
    cdef object _in_tables(self, Domain place, bytes address)
    cpdef Resolution without_source(self, Domain place, bytes local_part)
    cdef object _at_other(self, bytes address, bint may_ask)
    cdef Domain _place(self, bytes domain)
