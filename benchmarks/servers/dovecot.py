"""Dovecot from its packages, as an instance of its own: IMAP, POP3 and LMTP on ports of its own, folders of its own.

The system's own Dovecot, running or not, is not touched. Its configuration is the package's apart from what is written
here; what is a tuning stands in ``tuning``.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.group import found
from benchmarks.servers.base import DOMAIN, Site, first_line
from benchmarks.servers.mailboxes import PASSWORD, MailboxServer, addresses

OWNER: Final = "nobody"
"""Whose the mail is: Dovecot's mail processes never run as root."""
CONFIG: Final = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
listen = 127.0.0.1
protocols = imap pop3 lmtp
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_cache_size = 10M
first_valid_uid = 1
default_client_limit = 20000
default_process_limit = 20000
default_vsz_limit = 1G
mail_max_userip_connections = 0
mail_location = maildir:~
mail_attribute_dict =
postmaster_address = postmaster@{domain}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/accounts
}}
userdb {{
  driver = static
  args = uid={owner} gid={group} home={mail}/%d/%n allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  service_count = 0
  process_min_avail = 1
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 1
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service imap {{
  process_limit = 20000
  service_count = 1000
}}
service pop3 {{
  process_limit = 20000
  service_count = 1000
}}
service lmtp {{
  process_min_avail = 2
  service_count = 0
  unix_listener lmtp {{
    mode = 0600
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


class Dovecot(MailboxServer):
    """Its processes for mail serve one session at a time, as in its package; so idle ones cost a process each."""

    name: ClassVar[str] = "dovecot"
    durability: ClassVar[str] = "file and folder fsynced before the reply (mail_fsync = optimized, the default)"
    tuning: ClassVar[tuple[str, ...]] = (
        "login processes in the high-performance mode of its manual (service_count = 0)",
        "imap and pop3 processes are used again for the next session (service_count = 1000)",
        "passwords in the clear and cached: checking them costs it nothing",
        "limits on clients and processes raised; no TLS; no full text search, as in its package",
        "mail is delivered over LMTP, by processes that stay",
    )
    greeting: ClassVar[bytes] = b"LHLO bench.test\r\n"

    @classmethod
    def missing(cls) -> str | None:
        folder = Path("/usr/lib/dovecot")
        if not found("dovecot") or not all((folder / name).exists() for name in ("imap", "pop3", "lmtp")):
            return "not installed (Debian: apt install dovecot-imapd dovecot-pop3d dovecot-lmtpd)"
        return None if os.geteuid() == 0 else "Dovecot must be started by root"

    @classmethod
    def version(cls) -> str:
        return f"Dovecot {first_line([found('dovecot') or 'dovecot', '--version'], 'unknown')}"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.config = self.root / "dovecot.conf"

    def logs(self) -> list[Path]:
        return [self.log, self.root / "dovecot.log"]

    @property
    def mail(self) -> Path:
        return self.root / "mail"

    def configuration(self) -> dict[str, str]:
        text = CONFIG.format(
            root=self.root,
            mail=self.mail,
            owner=OWNER,
            group=group_of(OWNER),
            domain=DOMAIN,
            imap=self.imap_port,
            pop3=self.pop3_port,
            lmtp=self.port,
        )
        return {"dovecot.conf": text}

    def start(self) -> None:
        for name in ("run", "state", "mail"):
            (self.root / name).mkdir(exist_ok=True)
        self.take_mail()
        for path in (self.mail, *self.mail.rglob("*")):
            shutil.chown(path, OWNER, group_of(OWNER))
        (self.root / "accounts").write_text("".join(f"{each}:{{PLAIN}}{PASSWORD}\n" for each in addresses()))
        self.config.write_text(self.configuration()["dovecot.conf"])
        words = [found("dovecot") or "dovecot", "-F", "-c", str(self.config)]
        with self.log.open("ab") as log:
            self.group.start(words, cwd=self.root, output=log)
        self.wait_readers()


def group_of(owner: str) -> str:
    """The name of the account's own group."""
    return grp.getgrgid(pwd.getpwnam(owner).pw_gid).gr_name
