# cython: language_level=3
"""What checks have annotated is done to a finished transaction: its recipients, its reverse-path, its header section and
its body, and whether the message is held or thrown away.

Theory: verdicts are carried out once, when all stages have agreed, in the order of the stages and of their checks. The
header section is in memory whatever the content's size (_transaction.pyx), so it is made anew here; a body is only ever
replaced as a whole. What was changed goes into the log line, without the octets.

Invariant: what the pipeline lets through cannot break the content: edits are whole fields, a body is whole lines
(relay/policy/pipeline.py).

Not here: what may be changed at which stage (relay/policy/verdict.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from relay._fastparse cimport ContentScan, content_scan_init, scan_chunk
from relay.smtp._transaction cimport Transaction

from relay.policy.edits import apply, named
from relay.policy.verdict import DISCARD


cdef int carry_out(Transaction t) except -1:
    """Does what the verdicts in ``t.annotations`` carry."""
    cdef list edits = []
    cdef bytes each, body = None
    for verdict in t.annotations:
        if verdict.kind == DISCARD:
            t.is_discarded = True
            t.change(b"discarded by %b" % (<str>verdict.check).encode())
        for each in verdict.added:
            t.accepted[each] = None
            t.change(b"recipient added: %b" % each)
        for each in verdict.removed:
            if each in t.accepted:
                del t.accepted[each]
                t.change(b"recipient removed: %b" % each)
        if verdict.reverse_path is not None:
            t.sender = verdict.reverse_path
            t.change(b"reverse-path: <%b>" % t.sender)
        if verdict.quarantine or verdict.hold:
            _hold(t, f"quarantined: {verdict.quarantine}" if verdict.quarantine else <str>verdict.hold)
        edits.extend(verdict.edits)
        if verdict.body is not None:
            body = verdict.body
    if t.is_discarded:
        return 0
    if edits:
        _edit_header(t, edits)
    if body is not None:
        _replace_body(t, body)
    return 0


cdef int _hold(Transaction t, str why) except -1:
    """The first reason is the one that the queue shows."""
    t.held = t.held or why
    return t.change(b"held: %b" % why.encode("utf-8", "backslashreplace"))


cdef int _edit_header(Transaction t, list edits) except -1:
    """Makes ``edits`` in the header section, the fields that we add to a submission included."""
    cdef bytes first = <bytes>t.pieces[0], rest = first[t.head.body:], between = first[t.head.end:t.head.body]
    cdef bytes header = <bytes>apply(t.added + first[:t.head.end], edits)
    if t.head.fields == 0 and not between:
        between = b"\r\n"
    for edit in edits:
        t.change(<bytes>named(edit))
    t.added = b""
    _look_at(t, header)
    return t.replace_pieces([header + between, rest, *t.pieces[1:]] if rest else [header + between, *t.pieces[1:]])


cdef int _replace_body(Transaction t, bytes body) except -1:
    """Puts ``body`` in the place of what follows the header section; into a file where it is large."""
    cdef bytes header = (<bytes>t.pieces[0])[:t.head.end] + b"\r\n"
    t.change(b"body replaced")
    if t.large is not None:
        large, t.large = t.large, None
        large.abort()
    t.scan.eight_bit = t.scan.dots_left = False
    _look_at(t, header)
    _look_at(t, body)
    if PyBytes_GET_SIZE(body) <= t.context.large_content:
        return t.replace_pieces([header, body])
    t.large = t.context.spool.open_large(t.queue_id, None)
    t.large.write(body)
    return t.replace_pieces([header])


cdef int _look_at(Transaction t, bytes octets) except -1:
    """Finds out of ``octets``, whole lines, what the envelope has to have of them."""
    cdef ContentScan scan
    content_scan_init(&scan)
    scan_chunk(&scan, PyBytes_AS_STRING(octets), 0, PyBytes_GET_SIZE(octets))
    t.scan.eight_bit = t.scan.eight_bit or scan.eight_bit
    t.scan.dots_left = t.scan.dots_left or scan.dots_left
    return 0
