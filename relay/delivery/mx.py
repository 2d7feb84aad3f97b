"""What a domain's MX answer means: the hosts to try, in order, or the outcome that ends the matter.

Pure: the answer and the randomness come in. RFC 5321 5.1 (order, fallback to address records, own name), RFC 7505
(null MX).

Not here: asking (relay/net/dns.py), the addresses of a host and connecting to them (connect.py).
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from relay.mail.outcome import Outcome, deferred, failed
from relay.net.dns import FOUND, NO_NAME, NO_RECORDS, Addresses, Answer, MxRecord


def mx_hosts(
    domain: str, answer: Answer, own_names: frozenset[str], shuffle: Callable[[list[Any]], object]
) -> tuple[str, ...] | Outcome:
    """The hosts to try for ``domain``, best first; or why there are none.

    ``answer`` is that to the MX question. ``own_names`` are in lower case: a host among them, and all that are not
    strictly better, are dropped (RFC 5321 5.1); nothing left is a loop, 5.4.6. ``shuffle`` orders hosts of one
    preference in place.
    """
    if answer.kind == NO_NAME:
        return failed("5.1.2", answer.text, "dns")
    if answer.kind not in {FOUND, NO_RECORDS}:
        return deferred("4.4.3", answer.text, "dns")
    # No MX: the domain itself is the host, as if it were an MX of preference 0.
    records = list(answer.records) or [MxRecord(0, domain.lower())]
    if any(not record.host for record in records):
        # RFC 7505 3: a null MX stands alone. Beside others it says nothing and is left out.
        records = [record for record in records if record.host]
        if not records:
            return failed("5.1.10", f"domain {domain} takes no mail (null MX)", "dns")
    own = [record.preference for record in records if record.host in own_names]
    if own:
        records = [record for record in records if record.preference < min(own)]
        if not records:
            return failed("5.4.6", f"mail for {domain} would come back to this host", "dns")
    hosts: list[str] = []
    for _, group in itertools.groupby(sorted(records, key=attrgetter("preference")), attrgetter("preference")):
        equals = [record.host for record in group]
        shuffle(equals)
        hosts += equals
    return tuple(dict.fromkeys(hosts))


def no_addresses(answers: list[Addresses], domain: str) -> Outcome:
    """What it means that none of the hosts of ``domain`` has an address: temporary if any of the answers was."""
    for answer in answers:
        if answer.kind not in {NO_NAME, NO_RECORDS}:
            return deferred("4.4.3", answer.text, "dns")
    if len(answers) == 1:
        return failed("5.1.2", answers[0].text, "dns")
    return failed("5.1.2", f"none of the mail exchangers of {domain} has an address", "dns")


def leads_back(address: str) -> bool:
    """Whether mail for a stranger's domain must not go to ``address``: it is this host itself, or no host at all.

    Anyone can publish an MX that points to 127.0.0.1, where servers trust who connects.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip.is_link_local
