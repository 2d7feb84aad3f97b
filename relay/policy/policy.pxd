# cython: language_level=3
"""C declarations of relay/policy/policy.py."""


cdef class Policy:
    cdef readonly object _accounts, _mailboxes
    cdef str _delimiter
    cdef frozenset _local, _addresses
    cdef dict _relay
    cdef bint _checks_senders
    cdef _Networks _networks
    cdef bytes _hostname, _configured_postmaster, _postmaster

    cdef object _at_local_domain(self, bytes local, bytes recipient)
    cdef object _at_relay_domain(self, bytes local, bytes domain, bytes recipient, object trusts)
    cdef object _judge_room(self, object session)
    cdef bytes _account_of(self, bytes recipient)
    cdef object _at_root(self, object session, bytes recipient, bytes domain)
    cdef object _to_postmaster(self, bytes recipient)
    cdef bint _lacks_account(self, bytes address) except -1


cdef class _Networks:
    cdef dict _ranges, _known
    cdef bint _is_empty

    cdef object hold(self, str address)
    cdef bint _look(self, str address) except -1
