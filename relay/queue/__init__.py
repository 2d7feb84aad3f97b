"""The queue: decides when each recipient is tried, in which order, and over how many connections.

The way of a message through it::

    record of a spool log --> intake (router: recipient -> group) --> Entry --> Scheduler.add
    Scheduler.actions --> Connect, Wake, Quit, Resolve, Settle          (the delivery worker carries them out)
    connection --> Scheduler.take --> Entry --> attempt --> outcomes --> Scheduler.done --> Settled
    Settled --> journal entries to write, notice (a DSN owed), and the entry is finished or deferred

Everything here is pure: time comes in as ``now`` (integer microseconds since the epoch), chance as a ``draw``
(0.0 <= draw < 1.0). Nothing imports asyncio, socket, time or random.

Not here: reading and writing the spool (relay/spool), sending (relay/delivery), the text of DSNs (relay/dsn).
"""
