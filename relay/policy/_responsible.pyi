"""The fields of a header section that say who is responsible for the message (RFC 5322 3.6.2, 3.6.6)."""

def find_responsible(header: bytes, longest: int) -> tuple[bool, bool, tuple[bytes, ...], tuple[bytes, ...]]:
    """Whether the message is sent again; whether it has a From field; and the values of the fields that count, each as
    often as it stands there, but at most twice: (Resent-)From, (Resent-)Sender. A value is cut at ``longest`` octets.
    ``header`` is a whole header section, every line of it a field or a part of one."""
