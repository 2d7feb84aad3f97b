"""What a submission server changes in a header section: blind recipients are taken out."""

def without_blind(octets: bytes, end: int) -> bytes | None:
    """The header section ``octets[:end]`` without its Bcc and Resent-Bcc fields; None when it has none of them."""
