# cython: language_level=3
"""The part of a session that hands a content to the spool, and says what has become of it.

Theory: between end of data and its reply is a sync. The peer that sends on meanwhile (RFC 2920, RFC 3030) is listened to: the
transaction goes to the spool as a Handed, which is at the same time the promise of its reply, and the session is free for
the next. So the contents that one read has brought share a sync, and their replies a write: spool_answered() comes once for
all that the spool has answered together. It may answer when the peer is long gone: what is synced by then is ours all the
same (I2), so the session lives on until the last answer is there, and is counted out by depart().

Invariant: 250 for a content is only said by settle(), after the spool has reported that it is synced (I1).

Not here: what a content must be like (_transaction.pyx).
"""

from relay.smtp._changes cimport carry_out
from relay.smtp._context cimport ServerContext, id_text
from relay.smtp._received cimport protocol_keyword, received_field
from relay.smtp._replies cimport Question
from relay.smtp._state cimport GONE
from relay.smtp._transaction cimport Transaction

from libc.stdint cimport int64_t

import msgpack

from relay.mail import reply as words
from relay.mail.envelope import SMTPUTF8, Client, Envelope
from relay.smtp.refusals import REFUSALS

cdef enum:
    FLAG_SMTPUTF8 = 2

assert FLAG_SMTPUTF8 == SMTPUTF8

cdef object _pack = msgpack.Packer(use_bin_type=True).pack
cdef object _QUEUED = words.OK      # what the log says of an accepted transaction

# The envelope is packed here as the tuple that it is on disk, without making one; a test holds it against the real one.
assert Envelope._fields == (
    "queue_id", "received_at", "reverse_path", "recipients", "flags", "size", "session_id", "client", "carried", "held")
assert Client._fields == ("address", "helo", "protocol", "tls", "account", "listener")


cdef class Handed(Promise):
    """A transaction whose content the spool has: its waiter (relay/spool/writer.py)."""

    def spooled(self, error):
        """The spool's answer. Returns what it is to call when it has answered all of its batch, or None."""
        cdef SpoolingSession session = self.session
        if session is None:
            return None
        session.now = session.read_clock()
        try:
            session.settle(self, error)
        except Exception as fault:
            session.fail(fault)
        if session.awaits_batch:
            return None
        session.awaits_batch = True
        return session.spool_answered

    def large_committed(self, error):
        """The file of a large content is published (or not): now its record can follow."""
        cdef SpoolingSession session = self.session
        cdef Transaction t = self.transaction
        if error is not None:
            self.spooled(error)
            session.spool_answered()
            return
        session.now = session.read_clock()
        if session.state != GONE:
            session.append(self, t.pieces, t.large)
            if self.session is None:
                session.spool_answered()
            return
        self.session = None
        session.awaited -= 1
        session.end_transaction(t, "aborted", "spool", None, "peer_closed")
        session.depart()


cdef class SpoolingSession(ReplySession):
    """What happens between end of data and its reply."""

    cdef int submit(self) except -1:
        """Hands the content to the spool; Handed.spooled() follows, or settle() at once when that fails."""
        cdef Transaction t = self.transaction
        cdef Handed handed
        cdef ServerContext context = self.context
        cdef int64_t wall = t.ended_at + context.wall_offset
        cdef bytes recipient
        if t.annotations is not None:
            carry_out(t)
        if t.is_discarded or not t.accepted:
            return self.discard_content()
        recipient = <bytes>next(iter(t.accepted)) if len(t.accepted) == 1 else None
        handed = Handed.__new__(Handed)
        cdef str protocol = protocol_keyword(
            self.is_esmtp, bool(self.tls), bool(self.account), bool(t.flags & FLAG_SMTPUTF8))
        cdef bytes received = received_field(
            self.helo_name, self.has_odd_name, self.client_address, context.hostname, protocol, self.tls, t.queue_id, recipient,
            context.date_at(wall))
        cdef list parts = t.parts(received)
        handed.session = self
        handed.transaction = t
        handed.envelope = self.envelope_of(t, protocol)
        self.awaited += 1
        self.forgive()      # here, so that it does not depend on when the spool answers
        self.transaction = None
        if t.place is None:
            self.promise(handed)
        else:
            self.behind[self.behind.index(t.place)] = handed
            t.place = None
        if t.large is None:
            return self.append(handed, parts, None)
        t.pieces = parts
        try:
            t.large.commit(handed.large_committed)
        except Exception as error:
            self.settle(handed, error)
            self.release()
        return 0

    cdef bytes envelope_of(self, Transaction t, str protocol):
        """The envelope as it is on disk; made now, for the session may say another name while a large file is published."""
        cdef tuple envelope = (
            t.queue_id, t.ended_at + self.context.wall_offset, t.reverse_path if t.sender is None else t.sender,
            tuple(t.accepted), t.flags, t.size, id_text(self.number),
            (self.client_address, self.helo_name.decode("utf-8", "replace"), protocol, self.tls, self.account,
             self.service.name),
            None,
        )
        return <bytes>_pack(envelope + (t.held,) if t.held else envelope)

    cdef int discard_content(self) except -1:
        """The message goes to nobody: its sender reads what it reads of any other (RFC 5321 7.8 leaves that to us)."""
        cdef Transaction t = self.transaction
        self.forgive()
        self.say_in(t.place, b"250 2.0.0 Ok: queued as %b\r\n" % t.queue_id.encode())
        return self.end_transaction(t, "discarded", "content", _QUEUED, "policy")

    cdef int forgive(self) except -1:
        """A content is taken in: the errors before it do not count any more."""
        cdef Transaction t = self.transaction
        if t.place is None:
            self.errors = 0
        else:
            self.errors -= min(self.errors, (<Question>t.place).errors)
        return 0

    cdef int append(self, Handed handed, list parts, object large) except -1:
        """Queues the record."""
        try:
            if large is None:
                self.context.spool.append(handed.envelope, parts, handed)
            else:
                self.context.spool.append(handed.envelope, parts, handed, large)
                handed.transaction.large = None     # it belongs to the record now
        except Exception as error:
            self.settle(handed, error)
            self.release()
        return 0

    cdef int settle(self, Handed handed, object error) except -1:
        """The spool has answered: 250 or 45x; the transaction has ended."""
        cdef Transaction t = handed.transaction
        cdef bint is_gone = self.state == GONE
        handed.session = None
        handed.transaction = None
        self.awaited -= 1
        if error is None:
            if not is_gone:
                self.keep_promise(handed, b"250 2.0.0 Ok: queued as %b\r\n" % t.queue_id.encode())
            self.end_transaction(t, "accepted", "spool", _QUEUED, None)
        else:
            self.context.log_fault("not spooled", error, self.session_id)
            refusal = REFUSALS["disk_low" if getattr(error, "is_full", False) else "spool_failed"]
            self.errors += 1
            self.count_reason(<str>refusal.reason)
            if not is_gone:
                self.keep_promise(handed, self.explained(refusal.reply, t))
            self.end_transaction(
                t, "refused" if refusal.reply.code >= 500 else "deferred", "spool", refusal.reply, <str>refusal.reason)
        if is_gone:
            self.depart()
        return 0

    cdef int refuse_content(self, str stage, object reply, str reason) except -1:
        """Refuses the content of the open transaction, and so ends it."""
        cdef Transaction t = self.transaction
        cdef str result = "refused" if reply.code >= 500 else "deferred"
        self.errors += 1
        self.count_reason(reason)
        self.say_in(t.place, self.explained(reply, t))
        return self.end_transaction(t, result, stage, reply, reason)

    def depart(self):
        """Counts the session out, once nothing of it is left."""
        cdef ServerContext context = self.context
        if self.transaction is None and not self.awaited and self.opened_at >= 0:
            context.counters[context.cells.sessions_open[self.service.kind]] -= 1
            context.observe_session(self.now - self.opened_at)
            context.leave(self, self.client_key)
            self.opened_at = -1
