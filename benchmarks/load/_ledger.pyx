# cython: language_level=3
"""What became of every message of a run: eight octets each, on both sides, and the comparison of the two.

Theory: messages are numbered from 0, so an array is enough. An entry counts recipients and adds up hashes of their
addresses: a message to a hundred recipients may come in one transaction or in a hundred, and one recipient lost
beside another doubled would not show in a count.

The file: for each run the line ``b"load ledger 1\\n"``, then run and number of entries (two uint64), then the entries
(uint32 sum, uint16 recipients, uint8 state, uint8 copies), all little-endian.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

import struct

cdef bytes _MAGIC = b"load ledger 1\n"
cdef object _HEAD = struct.Struct("<14sQQ")
cdef enum:
    LISTED = 20             # numbers named in an account


cdef class Ledger:

    def __cinit__(self, uint64_t run):
        self.run = run

    def __dealloc__(self):
        free(self.entries)

    cdef Entry* entry(self, uint32_t number) except? NULL:
        cdef Py_ssize_t cap
        cdef Entry* entries
        if number >= MOST_NUMBERS:
            return NULL
        if <Py_ssize_t>number >= self.n:
            if <Py_ssize_t>number >= self.cap:
                cap = max(2 * self.cap, 4096)
                while cap <= <Py_ssize_t>number:
                    cap *= 2
                entries = <Entry*>realloc(self.entries, cap * sizeof(Entry))
                if not entries:
                    raise MemoryError
                memset(entries + self.cap, 0, (cap - self.cap) * sizeof(Entry))
                self.entries, self.cap = entries, cap
            self.n = number + 1
        return &self.entries[number]

    def put(self, uint32_t number, uint32_t recipients, uint32_t total, int state=ACCEPTED, int copies=1):
        cdef Entry* e = self.entry(number)
        if not e:
            raise ValueError(f"{number} is beyond {MOST_NUMBERS}")
        e.recipients, e.sum, e.state, e.copies = recipients, total, state, copies

    def received(self):
        """Messages, recipients and altered messages, as a sink's result has them."""
        cdef Py_ssize_t i
        cdef int64_t messages = 0, recipients = 0, altered = 0
        for i in range(self.n):
            messages += self.entries[i].copies != 0
            recipients += self.entries[i].recipients
            altered += self.entries[i].state != 0
        return messages, recipients, altered

    def __len__(self):
        """One more than the highest number."""
        return self.n

    def write(self, file):
        """Appends this run to an open binary file."""
        file.write(_HEAD.pack(_MAGIC, self.run, self.n))
        file.write(PyBytes_FromStringAndSize(<char*>self.entries, self.n * sizeof(Entry)))


def read_ledgers(path):
    """All runs in a file. ValueError when it is none."""
    cdef Ledger ledger
    cdef bytes octets
    cdef uint64_t n
    found = []
    with open(path, "rb") as file:
        while head := file.read(_HEAD.size):
            magic, run, n = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, 0)
            if magic != _MAGIC or n > MOST_NUMBERS:
                raise ValueError(f"{path}: not a ledger of the load generator or the sink")
            octets = file.read(n * sizeof(Entry))
            if <uint64_t>len(octets) != n * sizeof(Entry):
                raise ValueError(f"{path}: ends too early")
            ledger = Ledger(run)
            if n:
                ledger.entry(<uint32_t>(n - 1))
                memcpy(ledger.entries, PyBytes_AS_STRING(octets), len(octets))
            found.append(ledger)
    return found


def account(Ledger sent not None, Ledger got not None):
    """What was lost, doubled, misdirected or altered of ``sent`` on its way to ``got``; see README.md."""
    cdef Py_ssize_t i
    cdef int64_t accepted = 0, delivered = 0, lost = 0, doubled = 0, misdirected = 0, altered = 0
    cdef int64_t unsure_delivered = 0, unsure_missing = 0, refused_delivered = 0, unknown = 0, messages = 0
    cdef Entry nothing, s, g
    cdef list lost_numbers = [], doubled_numbers = []
    memset(&nothing, 0, sizeof(nothing))
    for i in range(max(sent.n, got.n)):
        s = sent.entries[i] if i < sent.n else nothing
        g = got.entries[i] if i < got.n else nothing
        messages += s.state != UNTOLD
        delivered += g.recipients
        altered += g.state != 0
        if s.state == ACCEPTED:
            accepted += s.recipients
            if g.recipients < s.recipients:
                lost += s.recipients - g.recipients
                if len(lost_numbers) < LISTED:
                    lost_numbers.append(i)
            elif g.recipients == s.recipients and g.sum != s.sum:
                misdirected += 1
        elif s.state == UNSURE:
            unsure_delivered += g.recipients != 0
            unsure_missing += g.recipients == 0
        elif g.recipients and s.state == UNTOLD:
            unknown += 1
        elif g.recipients:
            refused_delivered += 1
        if g.recipients > s.recipients and s.state in (ACCEPTED, UNSURE):
            doubled += g.recipients - s.recipients
            if len(doubled_numbers) < LISTED:
                doubled_numbers.append(i)
    return {
        "run": f"{sent.run:016x}",
        "messages": messages,
        "accepted": accepted,
        "delivered": delivered,
        "lost": lost,
        "doubled": doubled,
        "misdirected": misdirected,
        "altered": altered,
        "unsure_delivered": unsure_delivered,
        "unsure_missing": unsure_missing,
        "refused_delivered": refused_delivered,
        "unknown": unknown,
        "lost_numbers": lost_numbers,
        "doubled_numbers": doubled_numbers,
    }
