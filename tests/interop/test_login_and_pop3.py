"""Real clients log in, send, and fetch: smtplib, swaks, msmtp; poplib, curl, mpop, fetchmail, getmail.

One appliance serves them all; each test has an account of its own, so that they do not meet.
"""

from __future__ import annotations

import contextlib
import itertools
import poplib
import shutil
import smtplib
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.appliance import Appliance, free_port
from tests.support.needs import need
from tests.support.waiting import wait_until

PASSWORD = "correct horse; battery=staple"
LISTENERS = """
[[listener]]
name = "submission"
kind = "submission"
address = "127.0.0.1"
port = {submission}

[[listener]]
name = "submissions"
kind = "submission"
address = "127.0.0.1"
port = {submissions}
tls = "implicit"

[[listener]]
name = "imap"
kind = "imap"
address = "127.0.0.1"
port = {imap}

[[listener]]
name = "imaps"
kind = "imap"
address = "127.0.0.1"
port = {imaps}
tls = "implicit"

[[listener]]
name = "pop3"
kind = "pop3"
address = "127.0.0.1"
port = {pop3}

[[listener]]
name = "pop3s"
kind = "pop3"
address = "127.0.0.1"
port = {pop3s}
tls = "implicit"
"""
PORTS = ("submission", "submissions", "pop3", "pop3s", "imap", "imaps")
_numbers = itertools.count(1)


class Place:
    """The appliance and its ports."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = {name: free_port() for name in PORTS}
        self.appliance = Appliance(root, free_port(), more=LISTENERS.format(**self.ports), smtp_workers=1)

    def account(self, messages: int = 0) -> str:
        """A new account with ``messages`` in its mailbox."""
        address = f"user{next(_numbers)}@local.test"
        self.appliance.run("account", "add", address, "--password-stdin", text=PASSWORD + "\n")
        self.until(lambda: self.fill(address, messages), "the account is not seen")
        if messages:
            self.until(lambda: self.held(address) == messages, "not delivered")
        return address

    def fill(self, address: str, messages: int) -> bool:
        with smtplib.SMTP("127.0.0.1", self.appliance.smtp_port, timeout=30) as client:
            client.ehlo()
            client.mail("sender@elsewhere.example")
            if client.rcpt(address)[0] != 250:
                return False
            client.rset()
            for number in range(messages):
                text = f"Subject: number {number}\r\n\r\nText {number}\r\n.dot\r\n"
                client.sendmail("sender@elsewhere.example", [address], text)
        return True

    def held(self, address: str) -> int:
        folder = self.appliance.data / "mail" / "local.test" / address.partition("@")[0]
        return sum(1 for part in ("new", "cur") for _ in (folder / part).glob("*"))

    def pop3(self, address: str) -> poplib.POP3_SSL:
        context = ssl._create_unverified_context()
        client = poplib.POP3_SSL("127.0.0.1", self.ports["pop3s"], timeout=30, context=context)
        try:
            client.user(address)
            client.pass_(PASSWORD)
        except poplib.error_proto:
            client.close()
            raise
        return client

    def until(self, condition, why: str) -> None:
        wait_until(condition, why, timeout=60, every=0.05)

    def file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(text)
        path.chmod(0o600)
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("login"))
    with place.appliance:
        yield place


def run(*words: object, text: str | None = None, **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=90, check=False, input=text, **more
    )


def tool(name: str) -> str:
    path = shutil.which(name)
    need(path is not None, f"{name} is not installed")
    return str(path)


def message_of(place: Place, address: str) -> bytes:
    """The newest message that has come to ``address``."""
    place.until(lambda: place.held(address) > 0, "nothing has come")
    folder = place.appliance.data / "mail" / "local.test" / address.partition("@")[0]
    return next(path for part in ("new", "cur") for path in (folder / part).glob("*")).read_bytes()


# --- submission ---


def test_smtplib_logs_in_under_starttls_and_sends(place):
    address = place.account()
    with smtplib.SMTP("127.0.0.1", place.ports["submission"], timeout=30) as client:
        client.starttls(context=ssl._create_unverified_context())
        client.login(address, PASSWORD)
        client.sendmail(address, [address], f"From: {address}\r\nSubject: x\r\n\r\nHello\r\n")
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("boss@local.test", [address], "Subject: x\r\n\r\nHello\r\n")
    assert b"with ESMTPSA (TLSv1.3 " in message_of(place, address)


def test_a_wrong_password_is_refused_and_logged_without_it(place):
    address = place.account()
    with smtplib.SMTP_SSL(
        "127.0.0.1", place.ports["submissions"], timeout=30, context=ssl._create_unverified_context()
    ) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login(address, "wr0ng-pass")
        assert refused.value.smtp_code == 535
    place.until(lambda: any(line.get("account") == address for line in place.appliance.events()), "not logged")
    assert "wr0ng-pass" not in place.appliance.log.read_text()
    assert PASSWORD not in place.appliance.log.read_text()


def test_an_app_password_opens_what_it_is_for(place):
    address = place.account()
    made = place.appliance.run("account", "app-password", "add", address, "phone", "--for", "smtp")
    password = made.removeprefix("password: ").strip()
    with smtplib.SMTP_SSL(
        "127.0.0.1", place.ports["submissions"], timeout=30, context=ssl._create_unverified_context()
    ) as client:
        assert client.login(address, password)[0] == 235
    with contextlib.closing(
        poplib.POP3_SSL("127.0.0.1", place.ports["pop3s"], timeout=30, context=ssl._create_unverified_context())
    ) as reader:
        reader.user(address)
        with pytest.raises(poplib.error_proto, match="AUTH"):
            reader.pass_(password)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_logs_in(place, mechanism):
    address = place.account()
    done = run(
        tool("swaks"), "--server", "127.0.0.1", "--port", place.ports["submission"], "--tls", "--auth", mechanism,
        "--auth-user", address, "--auth-password", PASSWORD, "--from", address, "--to", address,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"with ESMTPSA" in message_of(place, address)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_gsasl_binds_scram_to_the_tls_connection(place, version):
    """RFC 5802, RFC 7677, RFC 9266, by other people than us (GNU SASL)."""
    address = place.account()
    done = run(
        tool("gsasl"), "--client", "--imap", "--connect", f"127.0.0.1:{place.ports['imap']}",
        "--mechanism", "SCRAM-SHA-256-PLUS", "--authentication-id", address, "--password", PASSWORD, "--verbose",
        "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}", text=". LOGOUT\r\n",
    )  # fmt: skip
    assert ". OK" in done.stdout, done.stdout + done.stderr


def test_gsasl_logs_in_with_scram_where_there_is_nothing_to_bind(place):
    address = place.account()
    done = run(
        tool("gsasl"), "--client", "--imap", "--connect", f"127.0.0.1:{place.ports['imap']}",
        "--mechanism", "SCRAM-SHA-256", "--authentication-id", address, "--password", PASSWORD, "--verbose",
        text=". LOGOUT\r\n",
    )  # fmt: skip
    assert ". OK" in done.stdout, done.stdout + done.stderr


def test_mbsync_logs_in_with_scram(place):
    """Cyrus SASL refuses more iterations than 65,536; mbsync then waits without a word until it is cut off."""
    address = place.account(2)
    near = place.root / f"near-{address}"
    near.mkdir()
    config = place.file(
        f"mbsync-{address}",
        f'FSync no\nIMAPAccount a\nHost 127.0.0.1\nPort {place.ports["imap"]}\nUser {address}\nPass "{PASSWORD}"\n'
        "SSLType STARTTLS\n"
        f"CertificateFile {place.root}/mbsync.pem\n\nIMAPStore far\nAccount a\n\n"
        f"MaildirStore near\nPath {near}/\nInbox {near}/INBOX\nSubFolders Verbatim\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSyncState *\n",
    )
    certificate = ssl.get_server_certificate(("127.0.0.1", place.ports["imaps"]))
    (place.root / "mbsync.pem").write_text(certificate)
    done = run(tool("mbsync"), "-D", "-c", config, "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Authenticating with SASL mechanism SCRAM-SHA-256" in done.stdout + done.stderr
    assert len([*near.glob("INBOX/*/*")]) >= 2


@pytest.mark.parametrize("mechanism", ["plain", "scram-sha-256"])
def test_msmtp_logs_in(place, mechanism):
    address = place.account()
    config = place.file(
        f"msmtp-{mechanism}",
        f"account a\nhost 127.0.0.1\nport {place.ports['submission']}\ntls on\ntls_starttls on\ntls_certcheck off\n"
        f'auth {mechanism}\nuser {address}\npassword "{PASSWORD}"\nfrom {address}\n',
    )
    done = run(
        tool("msmtp"), "-C", config, "--debug", "-a", "a", address, text=f"From: {address}\nSubject: x\n\nHello\n"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"with ESMTPSA" in message_of(place, address)


# --- POP3 ---


def test_poplib_reads_and_removes(place):
    address = place.account(3)
    client = place.pop3(address)
    assert client.stat()[0] == 3
    ids = client.uidl()[1]
    assert client.retr(2)[1][-1] == b".dot"
    assert client.top(1, 0)[1][-1] == b""
    client.dele(1)
    client.close()  # no QUIT
    again = retry(lambda: place.pop3(address))
    assert again.uidl()[1] == ids
    again.dele(1)
    again.quit()
    assert place.held(address) == 2


def test_two_sessions_do_not_meet_at_one_maildrop(place):
    address = place.account(1)
    first = place.pop3(address)
    with pytest.raises(poplib.error_proto, match="IN-USE"):
        place.pop3(address)
    first.quit()
    retry(lambda: place.pop3(address)).quit()


def retry(attempt):
    """What ``attempt`` gives, as soon as the session before has let go of the maildrop."""

    def granted():
        try:
            return [attempt()]
        except poplib.error_proto as fault:
            if "IN-USE" not in str(fault):
                raise
            return None

    return wait_until(granted, "the maildrop is never let go of", every=0.05)[0]


def test_curl_lists_and_fetches(place):
    address = place.account(2)
    base = [tool("curl"), "-sSk", "--max-time", "60", "--user", f"{address}:{PASSWORD}"]
    listed = run(*base, f"pop3s://127.0.0.1:{place.ports['pop3s']}/")
    assert len(listed.stdout.split()) == 4, listed.stderr
    fetched = retry_run(lambda: run(*base, "--ssl-reqd", f"pop3://127.0.0.1:{place.ports['pop3']}/1"))
    assert "Subject: number " in fetched.stdout, fetched.stderr  # two that came at once are in either order


def retry_run(attempt):
    """What ``attempt`` gives, tried again while the session before holds the maildrop."""
    tried = []

    def is_granted():
        tried.append(attempt())
        return tried[-1].returncode == 0 or len(tried) == 50

    wait_until(is_granted, timeout=120, every=0.1)
    return tried[-1]


def test_mpop_fetches_with_scram(place):
    address = place.account(3)
    box = place.root / f"mpop-{address}.mbox"
    config = place.file(
        f"mpop-{address}",
        f"account a\nhost 127.0.0.1\nport {place.ports['pop3']}\ntls on\ntls_starttls on\ntls_certcheck off\n"
        f'auth scram-sha-256\nuser {address}\npassword "{PASSWORD}"\nkeep off\ndelivery mbox {box}\n'
        f"uidls_file {place.root}/mpop-{address}.uidls\n",
    )
    done = run(tool("mpop"), "-C", config, "a")
    assert done.returncode == 0, done.stdout + done.stderr
    assert box.read_text().count("Subject: number") == 3
    assert place.held(address) == 0


def test_fetchmail_fetches(place):
    address = place.account(3)
    config = place.file(
        f"fetchmailrc-{address}",
        f"poll 127.0.0.1 service {place.ports['pop3s']} protocol pop3\n"
        f'user "{address}" password "{PASSWORD}" ssl no sslcertck fetchall mda "cat >> {place.root}/{address}.out"\n',
    )
    done = run(
        tool("fetchmail"), "-f", config, "--nosyslog", "-v", "--pidfile", place.root / "fetchmail.pid",
        env={"HOME": str(place.root), "PATH": "/usr/bin:/bin", "FETCHMAILHOME": str(place.root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (place.root / f"{address}.out").read_text().count("Subject: number") == 3
    assert place.held(address) == 0


def test_getmail_fetches_once(place):
    """It remembers messages by UIDL: nothing comes twice. It logs in with an app password (its file knows no ";")."""
    address = place.account(3)
    made = place.appliance.run("account", "app-password", "add", address, "getmail", "--for", "pop3")
    password = made.removeprefix("password: ").strip()
    home = place.root / f"getmail-{address}"
    home.mkdir()
    out = home / "out"
    (home / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3SSLRetriever\nserver = 127.0.0.1\nport = {place.ports['pop3s']}\n"
        f"username = {address}\npassword = {password}\n[destination]\ntype = MDA_external\npath = /usr/bin/tee\n"
        f'arguments = ("-a", "{out}")\nallow_root_commands = true\n'
        "[options]\nread_all = false\ndelete = false\n"
    )
    for _ in range(2):
        done = retry_run(lambda: run(tool("getmail"), "-g", home))
        assert done.returncode == 0, done.stdout + done.stderr
    assert out.read_text().count("Subject: number") == 3


def test_a_web_browser_is_told_where_it_is(place):
    with socket.create_connection(("127.0.0.1", place.ports["pop3"]), 30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert f"POP3: port {place.ports['pop3s']} with TLS".encode() in said
    place.until(lambda: place.appliance.metrics().get('relay_reader_mixups_total{protocol="http"}') == 1, "not counted")
