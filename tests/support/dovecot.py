"""Dovecot from its packages for a test: its own folder, IMAP and POP3 on loopback, one account.

The system's own Dovecot, running or not, is not touched.
"""

from __future__ import annotations

import imaplib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, Self

from tests.support.appliance import free_port, wait_for
from tests.support.needs import need

NOBODY: Final = 65534
"""Whose the mail is: Dovecot's mail processes never run as root."""
CONFIG: Final = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
listen = 127.0.0.1
protocols = imap pop3
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:{mail}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={owner} gid={owner} home={root} allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


class Dovecot:
    """It serves the Maildir ``mail`` below ``root`` to whoever has the password; use as a context manager.

    Above ``root`` every folder must be open to others: its processes are not root's.
    """

    def __init__(self, root: Path, password: str) -> None:
        need(Path("/usr/lib/dovecot/pop3").exists(), "dovecot-pop3d is not installed")
        need(Path("/usr/lib/dovecot/imap").exists(), "dovecot-imapd is not installed")
        need(os.geteuid() == 0, "Dovecot must be started by root")
        self.mail = root / "mail"
        self.imap_port, self.pop3_port = free_port(), free_port()
        self._log, self._config = root / "dovecot.log", root / "dovecot.conf"
        for folder in (root / "run", root / "state", self.mail):
            folder.mkdir(parents=True)
        os.chown(self.mail, NOBODY, NOBODY)
        text = CONFIG.format(
            root=root, mail=self.mail, owner=NOBODY, password=password, imap=self.imap_port, pop3=self.pop3_port
        )
        self._config.write_text(text)

    def __enter__(self) -> Self:
        program = shutil.which("dovecot", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None
        self._process = subprocess.Popen([program, "-F", "-c", str(self._config)])
        wait_for(self._answers, 30, lambda: self._log.read_text() if self._log.exists() else "no log")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _answers(self) -> bool:
        try:
            with imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=10):
                return True
        except OSError:
            return False
