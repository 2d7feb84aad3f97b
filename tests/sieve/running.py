"""Runs a script on a message, for tests."""

from __future__ import annotations

from datetime import UTC, datetime

from relay.sieve import Environment, MessageView, Result, compile_script, evaluate

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MESSAGE = b"From: bob@x.org\r\nTo: ann@local.test\r\nSubject: hello\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n"
ALL = (
    'require ["fileinto","copy","reject","ereject","envelope","vacation","vacation-seconds","imap4flags","variables",'
    '"editheader","duplicate","include","mailbox","special-use","spamtestplus","virustest","relational","date","body",'
    '"comparator-i;ascii-numeric","comparator-i;unicode-casemap","encoded-character","subaddress","index"];\n'
)


def run(script: str, message: bytes = MESSAGE, **world) -> Result:
    """The result of ``script`` behind a require of everything."""
    world = {"now": NOW, "reverse_path": "bob@x.org", "recipient": "ann@local.test", **world}
    view = MessageView(message, len(message), lambda: message)
    return evaluate(compile_script((ALL + script).encode()), view, Environment(**world))


def holds(test: str, message: bytes = MESSAGE, **world) -> bool:
    """Whether a test is true."""
    return run(f"if {test} {{ discard; }}", message, **world).is_discarded
