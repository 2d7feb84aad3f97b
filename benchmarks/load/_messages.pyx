# cython: language_level=3
"""What the message of a number is: its size, its text, its mark, its recipients.

Theory: everything follows from the run and the number, so nothing has to be kept for a message that is under way, and
a run can be repeated.

Not here: the texts (contents.py), the dialogue (_smtp_source.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from benchmarks.load._mark cimport MARK_SIZE, Mark, address_hash, seal_of, write_mark

import array

cdef const char* RCPT = b"RCPT TO:<"
cdef enum:
    RCPT_SIZE = 9


cdef size_t write_decimal(char* p, uint64_t value) noexcept nogil:
    cdef char[24] digits
    cdef size_t n = 0, i
    while True:
        digits[n] = <char>(48 + value % 10)
        n += 1
        value = value // 10
        if value == 0:
            break
    for i in range(n):
        p[i] = digits[n - 1 - i]
    return n


cdef class Address:
    """A template as plan.parse_template() makes it."""

    def __cinit__(self, tuple source not None):
        cdef int i
        self.source = source
        self.part_n = <int>len(source)
        self.parts = <Part*>calloc(max(self.part_n, 1), sizeof(Part))
        if not self.parts:
            raise MemoryError
        for i, part in enumerate(source):
            if isinstance(part, bytes):
                self.parts[i].p = PyBytes_AS_STRING(part)
                self.parts[i].n = PyBytes_GET_SIZE(part)
            else:
                self.parts[i].kind = ord(part[0])
                self.parts[i].modulus = part[1]

    def __dealloc__(self):
        free(self.parts)

    @property
    def varies(self):
        """Whether messages have different addresses."""
        return any(not isinstance(part, bytes) and part[0] == "n" for part in self.source)

    def of(self, uint64_t number, uint64_t recipient):
        cdef char[ADDRESS_ROOM] p
        cdef size_t n = self.write(p, number, recipient)
        return p[:n]

    cdef size_t write(self, char* p, uint64_t number, uint64_t recipient) noexcept:
        cdef size_t at = 0
        cdef uint64_t value
        cdef Part* part
        cdef int i
        for i in range(self.part_n):
            part = &self.parts[i]
            if not part.kind:
                memcpy(p + at, part.p, part.n)
                at += part.n
            else:
                value = number if part.kind == b"n" else recipient
                at += write_decimal(p + at, value % part.modulus if part.modulus else value)
        return at


cdef class Messages:
    """``sizes``: (share, texts) for each; ``addresses``: parsed templates, taken in turn."""

    def __cinit__(self, uint64_t run, list sizes not None, tuple addresses not None, uint32_t recipients):
        cdef int i, j
        cdef double share = 0
        self.run = run
        self.recipients = recipients
        self.texts = [texts for _, texts in sizes]
        self.size_n = <int>len(sizes)
        self.sizes = <Size*>calloc(self.size_n, sizeof(Size))
        if not self.sizes:
            raise MemoryError
        for i in range(self.size_n):
            share += sizes[i][0]
            texts = self.texts[i]
            self.sizes[i].up_to = <uint64_t>1 << 32 if i == self.size_n - 1 else <uint64_t>(share * 4294967296.0)
            self.sizes[i].variants = <int>len(texts)
            self.sizes[i].templates = <Template*>calloc(len(texts), sizeof(Template))
            if not self.sizes[i].templates:
                raise MemoryError
            for j, text in enumerate(texts):
                self.sizes[i].templates[j] = Template(
                    PyBytes_AS_STRING(text.plain), PyBytes_GET_SIZE(text.plain),
                    PyBytes_AS_STRING(text.stuffed), PyBytes_GET_SIZE(text.stuffed), text.digest)
        self.addresses = tuple(Address(parts) for parts in addresses)
        self.groups = [None if address.varies else self.all_of(address) for address in self.addresses]
        self.hashes = [None if address.varies else self.hashes_of(address) for address in self.addresses]

    def __dealloc__(self):
        cdef int i
        if self.sizes:
            for i in range(self.size_n):
                free(self.sizes[i].templates)
            free(self.sizes)

    def all_of(self, address):
        return b"".join(b"RCPT TO:<%b>\r\n" % address.of(0, i) for i in range(self.recipients))

    def hashes_of(self, address):
        cdef bytes text
        found = array.array("I")
        for i in range(self.recipients):
            text = address.of(0, i)
            found.append(address_hash(text, len(text)))
        return found.tobytes()

    cdef Template* template(self, uint32_t number) noexcept:
        cdef uint64_t chance = (number + self.run) * <uint64_t>0x9e3779b97f4a7c15
        cdef int i = 0
        chance = (chance ^ (chance >> 29)) * <uint64_t>0xbf58476d1ce4e5b9
        chance >>= 32
        while chance >= self.sizes[i].up_to:
            i += 1
        return &self.sizes[i].templates[number % self.sizes[i].variants]

    cdef void write_mark(self, char* p, uint32_t number, const Template* template) noexcept:
        cdef Mark mark
        mark.run, mark.number, mark.recipients = self.run, number, self.recipients
        mark.rest = template.plain_n
        mark.seal = seal_of(template.digest, self.run, number)
        write_mark(p, &mark)

    cdef bytes group(self, uint32_t number):
        return self.groups[number % <uint32_t>len(self.groups)]

    cdef size_t write_recipient(self, char* p, uint32_t number, uint32_t recipient) noexcept:
        cdef size_t n = RCPT_SIZE
        cdef Address address = <Address>self.addresses[number % <uint32_t>len(self.addresses)]
        memcpy(p, RCPT, n)
        # A template's own messages are counted, or {n%2} would be the same for all of one template of two.
        n += address.write(p + n, number // <uint32_t>len(self.addresses), recipient)
        memcpy(p + n, b">\r\n", 3)
        return n + 3

    cdef uint32_t recipient_hash(self, uint32_t number, uint32_t recipient) noexcept:
        cdef char[ADDRESS_ROOM] p
        cdef Address address
        cdef Py_ssize_t turn = number % <uint32_t>len(self.addresses)
        cdef object known = self.hashes[turn]
        if known is not None:
            return (<uint32_t*>PyBytes_AS_STRING(known))[recipient]
        address = <Address>self.addresses[turn]
        return address_hash(p, address.write(p, number // <uint32_t>len(self.addresses), recipient))

    def content(self, uint32_t number):
        """The whole content of a message, before dot-stuffing."""
        cdef char[MARK_SIZE] mark
        cdef Template* template = self.template(number)
        self.write_mark(mark, number, template)
        return mark[:MARK_SIZE] + template.plain[:template.plain_n]
