"""The load generator and the sink: two compiled programs that measure a mail server from both sides.

What they do and what they print is in README.md. Nothing here imports Relay: an instrument that shares code with what
it measures shares its mistakes.

Layers, lowest first: _loop and _stream (epoll, timers, buffers, TLS; no protocol); _mark, _messages, _histogram and
_ledger (what is in a message, what is counted); plan (what is to be done, checked); _drive (pace and outcomes of a
generator, whatever its protocol); _smtp_source and _smtp_sink (the two sides of SMTP); source and sink (from a plan to
a result), account (what was lost); command (the command line).
"""
