"""Mail comes in: the server's side of SMTP (RFC 5321), one compiled session per connection.

How a worker uses it::

    context = ServerContext(config, spool=log_writer, log=sink, wheel=wheel, row=row)
    poll = Poll()
    loop.add_reader(poll.fileno, poll.turn)
    for listener in config.smtp_listeners:
        pipeline = Pipeline(checks_of(listener, config, directory), row)
        service = Service(context, listener.name, listener.kind, config.smtp_of(listener), pipeline)
        SmtpAcceptor(poll, sockets[listener.name], report, service)
    # about once a second:
    context.tick(*read_clocks())
    # when asked to drain:
    context.drain(on_empty=drained.set)

The parts, each on top of the ones before:

- ``interfaces``    what it needs from spool, auth, telemetry
- ``refusals``      what it refuses, and under which reason that is counted
- ``_state``        the states of a session, and what changes them
- ``_context``      what the sessions of a worker share
- ``_received``     the Received field
- ``_transaction``  envelope and content while they arrive
- ``_replies``      replies, questions, deadlines, ends, the log
- ``_spooling``     from end of data to its reply
- ``_login``        AUTH
- ``_policy``       what policy is asked, and what follows from its answers
- ``_commands``     the commands, and which may come when
- ``_session``      the machine: octets and the time in, octets out
- ``_connection``   the machine on a socket
"""

from relay.smtp._connection import Connection, SmtpAcceptor, read_clocks
from relay.smtp._context import ServerContext, Service
from relay.smtp._session import Session

__all__ = ["Connection", "ServerContext", "Service", "Session", "SmtpAcceptor", "read_clocks"]
