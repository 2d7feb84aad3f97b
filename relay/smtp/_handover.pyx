# cython: language_level=3
"""The part of a session that hands a content to the spool, and says what has become of it.

Theory: from end of data to its reply the spool is waited for, and it may answer when the peer is long gone: what is synced by
then is ours all the same (I2), so the session lives on until the answer is there, and is counted out by depart().

Invariant: 250 for a content is only said by settle(), after the spool has told that it is synced (I1).

Not here: what a content must be like (_transaction.pyx).
"""

from relay.smtp._context cimport ServerContext, id_text
from relay.smtp._received cimport protocol_keyword, received_field
from relay.smtp._speaker cimport COMMAND, GONE
from relay.smtp._transaction cimport Transaction

from libc.stdint cimport int64_t

import msgpack

from relay.mail import reply as words
from relay.mail.envelope import SMTPUTF8, Client, Envelope
from relay.smtp.replies import REFUSALS

cdef enum:
    FLAG_SMTPUTF8 = 2

assert FLAG_SMTPUTF8 == SMTPUTF8

cdef object _pack = msgpack.Packer(use_bin_type=True).pack
cdef object _QUEUED = words.OK      # what the log says of an accepted transaction

# The envelope is packed here as the tuple that it is on disk, without making one; a test holds it against the real one.
assert Envelope._fields == (
    "queue_id", "received_at", "reverse_path", "recipients", "flags", "size", "session_id", "client", "carried")
assert Client._fields == ("address", "helo", "protocol", "tls", "account", "listener")


cdef class Handover(Speaker):
    """What happens between end of data and its reply."""

    cdef int submit(self) except -1:
        """Hands the content to the spool; spooled() follows, or settle() at once when that fails."""
        cdef Transaction t = self.transaction
        cdef ServerContext context = self.context
        cdef int64_t wall = t.ended_at + context.wall_offset
        cdef bytes recipient = <bytes>next(iter(t.recipients)) if len(t.recipients) == 1 else None
        cdef str protocol = protocol_keyword(
            self.is_esmtp, bool(self.tls), bool(self.account), bool(t.flags & FLAG_SMTPUTF8))
        cdef bytes received = received_field(
            self.helo_name, self.client_address, context.hostname, protocol, self.tls, t.queue_id, recipient,
            context.date_at(wall))
        cdef list parts = t.parts(received, self.service.is_submission, wall)
        if t.large is None:
            return self.append(parts, None)
        t.pieces = parts
        try:
            t.large.commit(self.large_committed)
        except Exception as error:
            self.settle(error)
        return 0

    def large_committed(self, error):
        """The file of a large content is published (or not): now its record can follow."""
        cdef Transaction t = self.transaction
        if t is None:
            return
        self.now = self.read_clock()
        if error is None and self.state != GONE:
            self.append(t.pieces, t.large)
            return
        if error is None:
            self.end_transaction("aborted", "spool", None, "peer_closed")
            self.depart()
            return
        self.spooled(error)

    cdef int append(self, list parts, object large) except -1:
        """Queues the record."""
        cdef Transaction t = self.transaction
        cdef bytes envelope = <bytes>_pack((
            t.queue_id, t.ended_at + self.context.wall_offset, t.reverse_path, tuple(t.recipients), t.flags, t.size,
            id_text(self.number),
            (self.client_address, self.helo_name.decode("utf-8", "replace"),
             protocol_keyword(self.is_esmtp, bool(self.tls), bool(self.account), bool(t.flags & FLAG_SMTPUTF8)),
             self.tls, self.account, self.service.name),
            None,
        ))
        try:
            if large is None:
                self.context.spool.append(envelope, parts, self)
            else:
                self.context.spool.append(envelope, parts, self, large)
                t.large = None      # it belongs to the record now
        except Exception as error:
            self.settle(error)
        return 0

    cdef int settle(self, object error) except -1:
        """The spool has answered: 250 or 45x; the transaction has ended."""
        cdef Transaction t = self.transaction
        cdef bint is_gone = self.state == GONE
        if error is None:
            self.errors = 0
            if not is_gone:
                self.state = COMMAND
                self.say(b"250 2.0.0 Ok: queued as %b\r\n" % t.queue_id.encode())
            self.end_transaction("accepted", "spool", _QUEUED, None)
        else:
            self.context.log_fault("not spooled", error, self.session_id)
            refusal = REFUSALS["disk_low" if getattr(error, "is_full", False) else "spool_failed"]
            self.refuse_content("spool", refusal.reply, <str>refusal.reason)
            if is_gone:
                self.state = GONE
        if is_gone:
            self.out = None
            self.depart()
        return 0

    cdef int refuse_content(self, str stage, object reply, str reason) except -1:
        """Refuses what came with DATA, and so ends the transaction."""
        cdef str result = "refused" if reply.code >= 500 else "deferred"
        self.state = COMMAND
        self.say_reply(reply, reason)
        return self.end_transaction(result, stage, reply, reason)

    def depart(self):
        """Counts the session out, once nothing of it is left."""
        cdef ServerContext context = self.context
        if self.transaction is None and self.opened_at >= 0:
            context.counters[context.cells.sessions_open[self.service.kind]] -= 1
            context.observe_session(self.now - self.opened_at)
            context.leave(self, self.client_key)
            self.opened_at = -1
