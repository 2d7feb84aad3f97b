# cython: language_level=3
"""C declarations of relay/directory/tables.py."""

cimport cython

from relay.directory.resolution cimport AtAccount


cdef class Table:
    cpdef object find(self, bytes address)


cdef class AccountTable(Table):
    cdef object _accounts
    cdef frozenset _addresses
    cdef dict _made

    @cython.locals(found=AtAccount)
    cpdef object find(self, bytes address)


cdef class RecipientTable(Table):
    cdef frozenset _addresses
