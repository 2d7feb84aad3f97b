"""The commands of a session: which may come when, what is replied (RFC 5321 4.1)."""

from relay.smtp._policy import PolicySession

class CommandSession(PolicySession):
    """Obeys one command at a time; Session feeds it."""
