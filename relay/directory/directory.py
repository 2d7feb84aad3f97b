"""Who exists here, and what an address means: asked by RCPT (relay/policy), by routing and at delivery alike.

Theory: an address at a domain of ours is looked up in tables in memory, as it is written, in lower case and without its
sub-address (RFC 5233), then in the sources that have to be asked. What is in neither and names postmaster (RFC 5321
4.5.1), or MAILER-DAEMON, as whom we write, is postmaster's: the configured one, else the first account. An address that
tables know is answered without a coroutine; it is asked for with every RCPT, so this is compiled (directory.pxd).

Invariants:
    - the answer depends on the address alone, never on who asks;
    - an account that was made a moment ago is known: before an address at a local domain is called unknown, the
      account file is looked at (one stat);
    - a domain with a dot at its end is the domain without (RFC 1034 3.1), and U-labels are their A-labels (RFC 5890).

Not here: who may send where (relay/policy), which server is next (relay/queue/routing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from relay.auth import AccountError, AccountList
from relay.config.model import Config
from relay.directory.asking import DEADLINE, Asked, OnFault, Source, or_else
from relay.directory.resolution import (
    FOREIGN,
    LISTED,
    NOBODY_IS_POSTMASTER,
    UNKNOWN,
    UNLISTED,
    Answer,
    Becomes,
    Resolution,
)
from relay.directory.tables import AccountTable, RecipientTable, Table, recipients_of
from relay.mail.address import ascii_octets, base_address, is_role


class Domain:
    """A domain of ours."""

    __slots__ = ("asked", "is_local", "otherwise", "tables")

    def __init__(
        self, is_local: bool, tables: Sequence[Table], asked: Asked | None, otherwise: Resolution = UNKNOWN
    ) -> None:
        self.is_local = is_local
        self.tables = tuple(tables)
        self.asked = asked
        self.otherwise = otherwise
        """What an address is that neither tables nor sources know."""


class Directory:
    """All that one worker knows of addresses."""

    def __init__(
        self,
        local: Iterable[str],
        relayed: Mapping[bytes, frozenset[bytes] | None],
        accounts: AccountList,
        *,
        hostname: str = "",
        postmaster: str = "",
        delimiter: str = "",
        sources: Sequence[Source] = (),
        on_fault: OnFault = lambda name, fault: None,
        deadline: float = DEADLINE,
    ) -> None:
        """``relayed``: as recipients_of() gives them. ``sources`` are asked in their order after the accounts, for
        ``deadline`` seconds; ``on_fault`` gets their faults. Without accounts until ``reload``."""

        def asked(domain: bytes) -> Asked | None:
            covering = [source for source in sources if source.covers(domain)]
            return Asked(covering, on_fault, deadline=deadline) if covering else None

        self._accounts = AccountTable(accounts)
        self._hostname = hostname.encode()
        self._configured_postmaster = postmaster.encode()
        self._delimiter = delimiter
        self._is_news = False
        self._domains: dict[bytes, Domain] = {}
        for domain, listed in relayed.items():
            tables = () if listed is None else (RecipientTable(listed),)
            without = UNLISTED if listed is None else UNKNOWN
            self._domains[domain] = Domain(False, tables, asked(domain), without)
        for name in local:
            octets = ascii_octets(name.lower().encode("utf-8", "surrogateescape"))
            self._domains[octets] = Domain(True, (self._accounts,), asked(octets))
        self._postmaster: Resolution = NOBODY_IS_POSTMASTER

    @classmethod
    def of(
        cls,
        config: Config,
        accounts: AccountList,
        tolerate: Callable[[Exception], None] | None = None,
    ) -> Directory:
        """The directory of ``config``, accounts read.

        Raises OSError, ValueError or AccountError when accounts or a ``recipients_file`` cannot be read; ``tolerate``
        gets such faults instead where it is given, and what cannot be read is left out.
        """
        made = cls(
            config.domains.local,
            recipients_of(config.relay_domains, tolerate),
            accounts,
            hostname=config.hostname,
            postmaster=config.postmaster,
            delimiter=config.smtp.recipient_delimiter,
        )
        try:
            made.reload()
        except (AccountError, OSError) as fault:
            if tolerate is None:
                raise
            tolerate(fault)
        return made

    # ---- asking -----------------------------------------------------------------------------------------------------

    def resolve(self, address: bytes) -> Answer:
        """What ``address`` means: local part, "@", domain in lower case, or ``postmaster`` alone. An awaitable only
        where a source has to be asked; it may be cancelled. Never raises for what an address holds."""
        found = self._find(address, True)
        assert found is not None
        return found

    def known(self, address: bytes) -> Resolution | None:
        """Like ``resolve``, from memory alone: None where a source would have to be asked."""
        found = self._find(address, False)
        return found if isinstance(found, Resolution) else None

    def is_here(self, address: bytes) -> bool:
        """Whether mail for ``address`` is delivered here as far as its domain says: into a mailbox, or to postmaster;
        and it is bounced here when there is no such address."""
        local_part, at, domain = address.rpartition(b"@")
        if not at:
            return True
        place = self._place(domain)
        if place is not None:
            return place.is_local
        return domain.rstrip(b".") == self._hostname and is_role(local_part, self._delimiter)

    def base(self, address: bytes) -> bytes:
        """``address`` in lower case and without sub-address or dots at its end, whether it exists or not."""
        return base_address(address.lower().rstrip(b"."), self._delimiter)

    @property
    def hostname(self) -> bytes:
        """Ours: mail for postmaster there is postmaster's."""
        return self._hostname

    @property
    def has_postmaster(self) -> bool:
        """Whether anybody gets mail for postmaster."""
        return self._postmaster is not NOBODY_IS_POSTMASTER

    # ---- accounts ---------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Reads the accounts again. When that raises AccountError or OSError, those of before stay."""
        self._accounts.reload()
        self._is_news = True
        name = self._configured_postmaster or self._accounts.first()
        is_there = bool(name) and not self._lacks_account(name)
        self._postmaster = Becomes((name,)) if is_there else NOBODY_IS_POSTMASTER

    def look(self) -> bool:
        """Takes over changed accounts; for once a second or so, costs one stat. Whether there are others than at the
        look before. Raises AccountError or OSError."""
        if self._accounts.changed():
            self.reload()
        is_news, self._is_news = self._is_news, False
        return is_news

    def _takes_over(self) -> bool:
        """Whether there are other accounts than a moment ago. Faults are for whoever calls ``look``."""
        try:
            if not self._accounts.changed():
                return False
            self.reload()
        except (AccountError, OSError):
            return False
        return True

    def _lacks_account(self, address: bytes) -> bool:
        """Whether ``address`` should be known here and is not; a source is not asked."""
        domain = address.rpartition(b"@")[2]
        place = self._domains.get(domain)
        if place is None:
            return domain == self._hostname
        if not place.is_local or place.asked is not None:
            return False
        return self._in_tables(place, address.lower()) is None

    # ---- finding ----------------------------------------------------------------------------------------------------

    def _find(self, address: bytes, may_ask: bool) -> Answer | None:
        _, at, domain = address.rpartition(b"@")
        place = self._domains.get(domain)
        if place is None or not at:
            return self._at_other(address, may_ask)
        for table in place.tables:
            found = table.find(address)
            if found is not None:
                return found
        if not place.tables and place.asked is None:
            return place.otherwise
        return self._missed(place, address, may_ask)

    def _missed(self, place: Domain, address: bytes, may_ask: bool) -> Answer | None:
        """Tables do not have ``address`` as it is written."""
        local_part = address.rpartition(b"@")[0]
        address = address.lower()
        found = self._in_tables(place, address)
        if found is not None:
            return found
        if place.is_local and self._takes_over():
            found = self._in_tables(place, address)
            if found is not None:
                return found
        if place.asked is not None:
            if not may_ask and not place.asked.is_known(address):
                return None
            asked = place.asked.find(address, base_address(address, self._delimiter))
            if isinstance(asked, Resolution):
                return asked
            if asked is not None:
                return or_else(asked, partial(self.without_source, place, local_part))
        return self.without_source(place, local_part)

    def _in_tables(self, place: Domain, address: bytes) -> Resolution | None:
        """``address`` is in lower case."""
        for table in place.tables:
            found = table.find(address)
            if found is not None:
                return found
        base = base_address(address, self._delimiter)
        if base == address:
            return None
        for table in place.tables:
            found = table.find(base)
            if found is not None:
                return found
        return None

    def without_source(self, place: Domain, local_part: bytes) -> Resolution:
        """What an address at ``place`` is that neither tables nor sources know."""
        if place.is_local:
            return self._postmaster if is_role(local_part, self._delimiter) else place.otherwise
        return LISTED if local_part.lower() == b"postmaster" else place.otherwise

    def _at_other(self, address: bytes, may_ask: bool) -> Answer | None:
        """An address without domain, at our hostname, at a domain of ours in another spelling, or elsewhere."""
        local_part, at, domain = address.rpartition(b"@")
        if not at:
            return self._postmaster if is_role(domain, self._delimiter) else UNKNOWN
        bare = ascii_octets(domain.rstrip(b"."))
        if bare in self._domains:
            return self._find(local_part + b"@" + bare, may_ask)
        if bare == self._hostname and is_role(local_part, self._delimiter):
            return self._postmaster
        return FOREIGN

    def _place(self, domain: bytes) -> Domain | None:
        place = self._domains.get(domain)
        return place if place is not None else self._domains.get(ascii_octets(domain.rstrip(b".")))


def postmaster_trouble(config: Config, accounts: AccountList) -> tuple[str, bool]:
    """What is wrong with who gets mail for postmaster, and whether that is an error; ``("", False)`` when all is
    well. Raises like ``Directory.of``."""
    if Directory.of(config, accounts).has_postmaster:
        return "", False
    if config.postmaster:
        return f'postmaster: "{config.postmaster}" names no account: relay account add {config.postmaster}', True
    return (
        "there is no account, so mail for postmaster is answered 450 4.3.5: relay account add, or set postmaster",
        False,
    )
