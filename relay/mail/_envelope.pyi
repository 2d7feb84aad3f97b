"""Types of the compiled module; see _envelope.pyx."""

from relay.mail.envelope import Envelope

def unpack_plain(octets: bytes) -> Envelope | None:
    """The envelope packed in ``octets``, when it is an ordinary one as this version packs them: nine fields, six of
    them of the client, nothing carried. None for anything else, good or bad: envelope.unpack knows what it is."""
