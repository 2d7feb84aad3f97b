"""Any octets as a script, and as a message for it: it is refused, it fails, or it comes to a result; nothing else."""

from __future__ import annotations

from relay.sieve import Environment, MessageView, RunError, ScriptError, compile_script, evaluate, limits
from tests.sieve.running import NOW

MARK = b"\n%%\n"


def sieve(octets: bytes) -> None:
    """The script, a line ``%%``, and the message."""
    script, _, message = octets.partition(MARK)
    try:
        compiled = compile_script(script)
    except ScriptError:
        return
    environment = Environment(NOW, reverse_path="bob@x.org", recipient="ann+x@local.test")
    try:
        result = evaluate(compiled, MessageView(message, len(message), lambda: message), environment)
    except RunError:
        return
    assert len(result.stores) + len(result.redirects) <= limits.ACTIONS + 1
    assert result.is_discarded == (not (result.stores or result.redirects or result.reject))
