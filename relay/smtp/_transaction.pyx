# cython: language_level=3
"""One transaction: its envelope and its content while it arrives (RFC 5321 3.3).

Theory: the content is kept as the pieces it came in. A small one is joined, once; one of many pieces goes to the spool
as they are, never copied. Above a size, or when the worker has no
memory to spare, it goes to a file while it arrives (LargeContent) and only its header section stays here. A content
that has earned a refusal is dropped at once, and read on to its true end, so that the session stays in step.

**This is where it is decided what a content may be made of**: lines that end in CRLF, no bare CR, no bare LF, no NUL, and
an end of data that is CRLF.CRLF and nothing else (RFC 5321 2.3.8, 4.1.1.4). All else is refused, never repaired, so no
reader after us can see other message boundaries than we did.

Invariants: every octet in memory is counted in the context until drop(); what take() was given is never looked at twice
(but for the header section).

Not here: the commands that build the envelope (_session.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from relay._fastparse cimport (
    C_CR, C_LINE_START, F_BARE_CR, F_BARE_LF, F_NONE, F_NUL, H_DATE, H_MESSAGE_ID, content_line_over, content_scan_init,
    scan_header, unstuff_into, unstuff_octets,
)
from relay.policy.pipeline cimport Subject
from relay.smtp._submitted cimport without_blind

from relay.mail.envelope import BODY_8BIT, DOTS, LARGE
from relay.policy.content import Content
from relay.smtp.refusals import REFUSALS, worded

cdef enum:
    END_OF_DATA = 3             # octets of the final ".CRLF"
    SMALL_PIECE = 4096          # shorter pieces are joined as they come, or a peer could make us hold an object per octet
    WORTH_A_FILE = 16384        # octets; shorter contents stay in memory even when it is scarce
    WORTH_PIECES = 65536        # octets; shorter contents are joined
    MODEST = 262144             # octets; longer contents leave a worker's memory when half of its budget is used
    REDIRECTED_LOGGED = 10      # recipients in whose place others were put
    CHANGES_LOGGED = 20         # of those that checks have made

    FLAG_8BIT = 1
    FLAG_DOTS = 4
    FLAG_LARGE = 8

assert (FLAG_8BIT, FLAG_DOTS, FLAG_LARGE) == (BODY_8BIT, DOTS, LARGE)


cdef class Promise:
    """A reply in its place among the others, before it is known."""


cdef Transaction opened(Service service, Subject session, bytes reverse_path, int flags):
    """A transaction of ``session``, which MAIL asks for."""
    cdef Transaction t = Transaction.__new__(Transaction)
    t.inherit(session)
    t.service = service
    t.context = service.context
    t.reverse_path = reverse_path
    t.flags = flags
    t.is_submission = service.is_submission
    return t


cdef class Transaction(Subject):
    """From MAIL to the reply to end of data."""

    def __cinit__(self):
        self.accepted = {}
        self.added = b""
        self.held = ""
        content_scan_init(&self.scan)
        self.large_state = C_LINE_START
        self.next_look = WORTH_A_FILE

    def __init__(self):
        raise TypeError("a transaction is made by opened()")

    cdef str stage(self):
        """The command that it has come to, as the log names it."""
        if self.ended_at:
            return "spool"
        if self.data_at:
            return "content"
        return "rcpt" if self.named or self.refused else "mail"

    # --- what checks may read (View in relay/policy/verdict.py) ---

    @property
    def listener(self):
        return self.service.name

    @property
    def recipients(self):
        return tuple(self.accepted)

    @property
    def octets(self):
        return self.declared if not self.ended_at else self.content_size()

    # --- recipients ---

    cdef int accept(self, bytes recipient) except -1:
        self.named += 1
        self.accepted[recipient] = None
        return 0

    cdef int replace(self, bytes recipient, tuple instead) except -1:
        """``recipient`` was named and is accepted; the message goes to ``instead``. The log has both."""
        cdef bytes each
        self.named += 1
        for each in instead:
            self.accepted[each] = None
        if instead != (recipient,):
            self.redirected = self.redirected or []
            if len(self.redirected) < REDIRECTED_LOGGED:
                self.redirected.append(b"%b: %b" % (recipient, b" ".join(instead[:REDIRECTED_LOGGED])))
        return 0

    # --- while it arrives ---

    cdef int take(self, bytes octets, Py_ssize_t start, Py_ssize_t stop, object on_drained) except -1:
        """Takes the content octets[start:stop), which scan has just looked at. Returns 0 when the file cannot keep
        up: stop reading until ``on_drained`` is called."""
        self.read += stop - start
        if self.trouble is not None:
            return 1
        if self.scan.fault != F_NONE:
            self._refuse(self._fault_name())
        elif self.read > self._most():
            self._refuse("too_large")
        elif self.large is not None:
            return self._to_file(octets, start, stop)
        else:
            self._keep(octets, start, stop)
            if self.held_octets > self.context.large_content:
                return self._open_file(on_drained)
            if self.context.is_over_budget() or self.held_octets > MODEST and self.context.is_over_half_budget():
                return self._save_memory(on_drained)
        return 1

    cdef Py_ssize_t _most(self) noexcept:
        """More octets than this cannot be a content within the limit: at most one in four octets is a stuffed dot
        (in lines of two dots), and dots of the transparency procedure do not count (RFC 1870 5)."""
        return self.service.limits.message_size + self.service.limits.message_size // 3 + 8

    cdef int _keep(self, bytes octets, Py_ssize_t start, Py_ssize_t stop) except -1:
        cdef bytes piece = self._slice(octets, start, stop)
        cdef bytes last
        cdef Py_ssize_t newest
        if self.pieces is None:
            self.pieces = [piece]
        else:
            newest = len(self.pieces) - 1
            last = <bytes>self.pieces[newest]
            if PyBytes_GET_SIZE(last) + PyBytes_GET_SIZE(piece) <= SMALL_PIECE:
                self.pieces[newest] = last + piece
            else:
                self.pieces.append(piece)
        self.held_octets += stop - start
        self.context.hold(stop - start)
        return 0

    cdef bytes _slice(self, bytes octets, Py_ssize_t start, Py_ssize_t stop):
        """octets[start:stop), not copied when that is all of them."""
        return octets if stop - start == PyBytes_GET_SIZE(octets) else octets[start:stop]

    cdef int _save_memory(self, object on_drained) except -1:
        """The worker's memory is scarce: to a file with it, if it is worth one and its header section is whole."""
        if self.held_octets >= self.next_look:
            self.next_look = 2 * self.held_octets      # so that looking again and again costs no more than reading
            if self._look_at_header(b"".join(self.pieces)):
                return self._open_file(on_drained)
        if self.context.is_far_over_budget():
            self._refuse("memory")
        return 1

    cdef int _open_file(self, object on_drained) except -1:
        """Moves the body into a file, where the rest of it will follow. The header section stays here: it goes into the
        record, so that checks can change it and the file need not be written anew."""
        cdef bytes held = self._unstuffed_so_far(b"".join(self.pieces))
        cdef bytes header
        cdef Py_ssize_t body
        cdef bint goes_on
        if not self._look_at_header(held):
            self._refuse("header_too_large")
            return 1
        body = self.head.body
        header = self._submitted(held) if self.is_submission else held[:body]
        if self.trouble is not None:
            return 1
        self.large = self.context.spool.open_large(self.queue_id, on_drained)
        self.context.count(self.context.cells.large_contents)
        goes_on = self.large.write(held[body:])
        self._drop_pieces()
        self.pieces = [header]
        self.held_octets = PyBytes_GET_SIZE(header)
        self.context.hold(self.held_octets)
        return 1 if goes_on else 0

    cdef bytes _unstuffed_so_far(self, bytes held):
        """``held``, the content from its beginning, as it goes into a file."""
        cdef bytes out
        if self.is_chunked or (not self.scan.dots and self.scan.state <= C_CR):
            self.large_state = self.scan.state      # as in _to_file()
            return held
        out = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(held) + 1)
        return out[:unstuff_into(
            &self.large_state, PyBytes_AS_STRING(held), 0, PyBytes_GET_SIZE(held), PyBytes_AS_STRING(out))]

    cdef bytes _submitted(self, bytes octets):
        """The header section at the beginning of ``octets``, which ``head`` is about, as a submission goes on with it
        (RFC 6409 8): without blind recipients. One that is broken is refused: each program would read another one."""
        cdef bytes header
        if self.head.malformed:
            self.broken_line = octets.count(b"\n", 0, self.head.end) + 1
            self._refuse("header_broken")
            return b""
        header = without_blind(octets, self.head.body)
        if header is None:
            return octets[:self.head.body]
        self.head = scan_header(PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header))
        return header

    cdef bint _look_at_header(self, bytes held) except -1:
        """Scans the header section into ``head``; whether it is whole, and within the size above which a file is made.

        Only whole lines are judged: half of a field name looks like no field at all.
        """
        cdef Py_ssize_t size = min(PyBytes_GET_SIZE(held), self.context.large_content)
        cdef Py_ssize_t lines = held.rfind(b"\r\n", 0, size) + 2
        if lines < 2:
            return False
        self.head = scan_header(PyBytes_AS_STRING(held), lines)
        return self.head.body > self.head.end or self.head.end < lines

    cdef int _to_file(self, bytes octets, Py_ssize_t start, Py_ssize_t stop) except -1:
        cdef bytes out
        cdef Py_ssize_t size
        if self.is_chunked or (not self.scan.dots and self.scan.state <= C_CR and self.large_state <= C_CR):
            # No line has begun with a dot so far, and this one is not about to: nothing to take out. The states up to
            # C_CR mean the same to both.
            self.large_state = self.scan.state
            return 1 if self.large.write(self._slice(octets, start, stop)) else 0
        out = PyBytes_FromStringAndSize(NULL, stop - start + 1)
        size = unstuff_into(&self.large_state, PyBytes_AS_STRING(octets), start, stop, PyBytes_AS_STRING(out))
        return 1 if not size or self.large.write(out[:size]) else 0

    cdef str _fault_name(self):
        cdef int fault = self.scan.fault
        if fault == F_BARE_CR:
            return "content_bare_cr"
        if fault == F_BARE_LF:
            return "content_bare_lf"
        return "content_nul"

    cdef int _refuse(self, str trouble) except -1:
        """Remembers why the content will be refused, and forgets the content."""
        self.trouble = trouble
        self.drop()
        return 0

    # --- at end of data ---

    cdef int finish(self) except -1:
        """Takes the end of data off, unstuffs: ``pieces`` is then the whole content, or the header section of a large
        one."""
        cdef bytes content
        cdef Py_ssize_t size
        if self.is_chunked and self.trouble is None:
            self._end_chunks()
        if self.trouble is not None or self.large is not None:
            return 0
        if not self._leave_in_pieces():
            content = <bytes>self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
            size = PyBytes_GET_SIZE(content) - self._surplus()
            if self.scan.dots:
                content = unstuff_octets(PyBytes_AS_STRING(content), 0, size)
            else:
                content = content[:size]
            self.pieces = [content]
            self.head = scan_header(PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))
        if self.is_submission:
            self._submit_pieces()
        return 0

    cdef int _submit_pieces(self) except -1:
        """What _submitted() says for a content in pieces: only the first one is cut, and only where a field goes."""
        cdef bytes first = <bytes>self.pieces[0]
        cdef Py_ssize_t body = self.head.body
        cdef bytes header = self._submitted(first)
        if self.trouble is None and PyBytes_GET_SIZE(header) != body:
            self.pieces[0] = header
            if body < PyBytes_GET_SIZE(first):
                self.pieces.insert(1, first[body:])
        return 0

    cdef Py_ssize_t _surplus(self) noexcept:
        """Octets at the end of what came that are not content."""
        return 0 if self.is_chunked else END_OF_DATA

    cdef int _end_chunks(self) except -1:
        """A content that came in chunks need not end with a line end (RFC 3030 3): as DATA could not send it on without
        one, it gets one."""
        if self.scan.state == C_CR:
            return self._refuse("content_bare_cr")
        if self.pieces is None:
            self.pieces = [b""]
        if self.scan.state != C_LINE_START:
            content_line_over(&self.scan)
            if self.large is not None:
                self.large.write(b"\r\n")
            else:
                self.pieces.append(b"\r\n")
        return 0

    cdef bint _leave_in_pieces(self) except -1:
        """Takes the end of data off a content that need not be joined; whether this is one: long, with nothing to
        unstuff, its header section whole in the first piece."""
        cdef Py_ssize_t surplus = self._surplus(), size
        cdef bytes last
        if self.held_octets < WORTH_PIECES or self.scan.dots or not self._look_at_header(<bytes>self.pieces[0]):
            return False
        while surplus:
            last = <bytes>self.pieces.pop()
            size = PyBytes_GET_SIZE(last) - surplus
            surplus = max(0, -size)
            if size > 0:
                self.pieces.append(last[:size])
        return True

    cdef Py_ssize_t content_size(self) except -1:
        """Octets of the finished content, without what parts() puts in front."""
        cdef Py_ssize_t size = 0
        cdef bytes piece
        for piece in self.pieces:
            size += PyBytes_GET_SIZE(piece)
        return size if self.large is None else size + <Py_ssize_t>self.large.size

    cdef str check(self):
        """The name of the refusal that the finished content has earned, or None."""
        cdef Limits* limits = &self.service.limits
        if self.trouble is not None:
            return self.trouble
        if self.content_size() > limits.message_size:
            return "too_large"
        if limits.content_line and self.scan.longest_line > limits.content_line:
            return "content_line_too_long"
        if self.head.received > limits.hops:
            return "loop"
        return None

    cdef object refusal_for(self, str trouble):
        """The Refusal of that name, saying where the content is wrong if that is known."""
        refusal = REFUSALS[trouble]
        if not self.broken_line:
            return refusal
        return refusal._replace(reply=worded(refusal.reply, f"line {self.broken_line} is no field"))

    cdef int add_fields(self, int64_t wall) except -1:
        """What a submission lacks (RFC 6409 8): its Message-ID and Date, before checks look at it."""
        if not self.head.flags & H_MESSAGE_ID:
            self.added += b"Message-ID: <%b@%b>\r\n" % (self.queue_id.encode(), self.context.hostname)
        if not self.head.flags & H_DATE:
            self.added += b"Date: %b\r\n" % self.context.date_at(wall)
        return 0

    cdef object content(self):
        """The finished content as checks read it."""
        return Content(<bytes>self.pieces[0], self.head.end, self.head.body, self.pieces[1:], self.large, self.added)

    cdef list parts(self, bytes received):
        """What goes into the record, our fields first; sets ``size`` and ``flags``. The file of a large content
        follows after them.

        Where there is no header section at all, an empty line keeps the body from becoming part of ours.
        """
        cdef bytes top = received + self.added if self.added else received
        if self.head.fields == 0 and self.head.body == self.head.end:
            top += b"\r\n"
        if self.scan.eight_bit:
            self.flags |= FLAG_8BIT
        if self.scan.dots_left:
            self.flags |= FLAG_DOTS
        self.size = PyBytes_GET_SIZE(top) + self.content_size()
        if self.large is not None:
            self.flags |= FLAG_LARGE
        return [top, *self.pieces]

    cdef int change(self, bytes what) except -1:
        """Remembers for the log one change that a check has made."""
        if self.changes is None:
            self.changes = []
        if len(self.changes) < CHANGES_LOGGED:
            self.changes.append(what)
        return 0

    cdef int replace_pieces(self, list pieces) except -1:
        """``pieces`` are what is in memory now, the header section in the first one."""
        cdef Py_ssize_t size = 0
        cdef bytes piece
        for piece in pieces:
            size += PyBytes_GET_SIZE(piece)
        self.pieces = pieces
        piece = <bytes>pieces[0]
        self.head = scan_header(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        self.context.let_go(self.held_octets)
        self.held_octets = size
        self.context.hold(size)
        return 0

    # --- memory ---

    cdef int _drop_pieces(self) except -1:
        self.context.let_go(self.held_octets)
        self.held_octets = 0
        self.pieces = None
        return 0

    cdef int drop(self) except -1:
        """Gives back all memory, and the file that is not part of a record."""
        self.context.let_go(self.held_octets)
        self.held_octets = 0
        self.pieces = None
        if self.large is not None:
            large, self.large = self.large, None
            large.abort()
        return 0
