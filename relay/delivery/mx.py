"""What a domain's MX answer means: the hosts to try, in order, or the outcome that ends the matter.

Pure: the answer and the randomness come in. RFC 5321 5.1 (order, fallback to address records, own name), RFC 7505
(null MX), RFC 5321 4.1.3 (address literals).

Not here: asking (relay/net/dns.py), the addresses of a host and connecting to them (connect.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relay.mail.outcome import Outcome
    from relay.net.dns import Answer


def mx_hosts(
    domain: str, answer: Answer, own_names: frozenset[str], shuffle: Callable[[list[Any]], object]
) -> tuple[str, ...] | Outcome:
    """The hosts to try for ``domain``, best first; or why there are none.

    ``answer`` is that to the MX question. ``own_names`` are in lower case: a host among them, and all that are not
    strictly better, are dropped (RFC 5321 5.1); nothing left is a loop, 5.4.6. ``shuffle`` orders hosts of one
    preference in place.
    """
    raise NotImplementedError


def literal_address(domain: str) -> str | None:
    """The IP address in ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``, or None when ``domain`` is neither."""
    raise NotImplementedError
