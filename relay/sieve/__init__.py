"""Sieve (RFC 5228): a script and a message in, the actions that the script wants out.

Pure machines: a script is read (``parse``), checked against the language (``check``; all errors at once, each with its
line and column) and run (``evaluate``). Nothing here touches disk, network or clock: what a script asks about the
world comes in as an ``Environment``, what it wants done goes out as ``actions``.

Every script ends: there are no loops in the language, includes are counted, each test and comparison is charged
against a budget (limits.py), and matching is linear (match.py). A fault at run time is a ``RunError``; whoever
runs scripts then keeps the message.

Not here: where scripts are kept (relay/mailbox/scripts.py), carrying the actions out (relay/mda/filtering.py).
"""

from relay.sieve.actions import Result
from relay.sieve.check import compile_script
from relay.sieve.environment import Environment
from relay.sieve.errors import Problem, RunError, ScriptError
from relay.sieve.evaluate import evaluate
from relay.sieve.language import EXTENSIONS
from relay.sieve.message import MessageView
from relay.sieve.tree import Script

__all__ = [
    "EXTENSIONS",
    "Environment",
    "MessageView",
    "Problem",
    "Result",
    "RunError",
    "Script",
    "ScriptError",
    "compile_script",
    "evaluate",
]
