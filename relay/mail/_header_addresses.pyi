"""Python-level form of relay/mail/_header_addresses.pyx; its values are explained in header_addresses.py."""

def read(value: bytes, most: int) -> list[tuple[bytes | None, bytes | None, bytes | None, bool, bool]]:
    """(name, local part, domain, whether it is well-formed, whether words stood apart) for each address, begin and end
    of a group; reading stops when there are ``most`` of them (two markers may come on top). Nothing is
    raised."""
