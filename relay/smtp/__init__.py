"""Mail comes in: the server's side of SMTP (RFC 5321), one compiled session per connection.

How a worker uses it::

    context = ServerContext(config, policy=policy, spool=log_writer, log=sink, wheel=wheel, row=row)
    for listener in config.listeners:
        await loop.create_server(make_protocol_factory(context, listener), sock=sockets[listener.name])
    # about once a second:
    context.tick(time.monotonic_ns() // 1000, time.time_ns() // 1000)
    # when told to drain:
    context.drain(on_empty=drained.set)

- ``_context``     what the sessions of a worker share
- ``_session``     the machine: octets and the time in, octets out
- ``_connection``  the machine on a uvloop transport
- ``ports``        what it needs from policy, spool, telemetry
"""
