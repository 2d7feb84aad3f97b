"""Who counts as one client: an IPv4 address, or the /64 that an IPv6 host can choose its addresses from (RFC 6177)."""

from __future__ import annotations

import ipaddress


def client_key(address: str) -> tuple[str, str | int]:
    """The address as it is shown and looked up, and the key it is counted under.

    An IPv4 address mapped into IPv6 (a socket for both families) is the IPv4 address; a zone is dropped. What is no
    address, such as the name of a Unix socket, stands for itself.
    """
    if ":" not in address:
        return address, address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address, address
    if parsed.ipv4_mapped is not None:
        shown = str(parsed.ipv4_mapped)
        return shown, shown
    return str(parsed), int(parsed) >> 64
