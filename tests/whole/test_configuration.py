"""A configuration in several files with a secret in one of its own, served and reloaded by the real program."""

from __future__ import annotations

import signal
import smtplib
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.appliance import Appliance, free_port, wait_for

LISTENER = '[[listener]]\nname = "{}"\nkind = "mx"\naddress = "127.0.0.1"\nport = {}\n'
TOKENS = "correct-horse-battery", "staple-of-another-kind"


def asked(relay: Appliance, path: str, token: str = "") -> int:
    """The status of the admin port's answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{relay.admin_port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0


def greets(port: int) -> bool:
    try:
        smtplib.SMTP("127.0.0.1", port, timeout=5).close()
    except OSError:
        return False
    return True


def test_files_and_secrets_are_read_at_the_start_and_again_by_each_reload(tmp_path: Path) -> None:
    """I6, I8."""
    folder, token = tmp_path / "relay.d", tmp_path / "admin-token"
    folder.mkdir()
    ports = free_port(), free_port()
    (folder / "10-admin.toml").write_text('[admin]\ntoken_file = "admin-token"\n')
    (folder / "20-more.toml").write_text(LISTENER.format("more", ports[0]))
    token.write_text(f"{TOKENS[0]}\n")
    token.chmod(0o600)
    relay = Appliance(tmp_path, free_port(), expects=("reload refused",))

    def reload() -> None:
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)

    with relay:
        assert greets(ports[0])
        assert [asked(relay, path) for path in ("/livez", "/readyz", "/metrics", "/", "/none")] == [
            200, 200, 401, 401, 401
        ]  # fmt: skip
        assert asked(relay, "/metrics", TOKENS[0]) == 200

        token.write_text(f"{TOKENS[1]}\n")
        (folder / "20-more.toml").unlink()
        (folder / "30-other.toml").write_text(LISTENER.format("other", ports[1]))
        reload()
        wait_for(lambda: asked(relay, "/metrics", TOKENS[1]) == 200, 20, relay.tail)
        wait_for(lambda: greets(ports[1]) and not greets(ports[0]), 20, relay.tail)
        assert asked(relay, "/metrics", TOKENS[0]) == 401

        (folder / "40-bad.toml").write_text('\nhostname = "another.example"\n')
        token.write_text("tooshort7\n")
        reload()
        wait_for(lambda: any(each["event"] == "reload refused" for each in relay.events()), 20, relay.tail)
        (refused,) = (each for each in relay.events() if each["event"] == "reload refused")
        assert f"{folder}/40-bad.toml:2: hostname: is set in {relay.config}:1 already" in refused["reason"]
        assert f"{folder}/10-admin.toml:2: admin.token_file: {token} is shorter than 16" in refused["reason"]
        assert asked(relay, "/metrics", TOKENS[1]) == 200
        assert greets(ports[1])

        (folder / "40-bad.toml").unlink()
        token.write_text(TOKENS[1])
        shown = relay.run("config", "show")
        assert f"admin.token = (secret, from {token})  # {folder}/10-admin.toml:2\n" in shown
    log = relay.log.read_text()
    assert not any(secret in text for secret in (*TOKENS, "tooshort7") for text in (log, shown))


def test_a_listener_has_limits_of_its_own_and_a_reload_changes_those_of_one(tmp_path: Path) -> None:
    port = free_port()
    own = '[listener.smtp]\nmax_message_size = "{}"\nmax_recipients = {}\n'
    tables = LISTENER.format("small", port)
    relay = Appliance(tmp_path, free_port(), more=tables + own.format("4KiB", 1))

    def limits(at: int) -> tuple[str, int]:
        """SIZE as it is announced, and how many of three recipients are taken."""
        with smtplib.SMTP("127.0.0.1", at, timeout=20) as client:
            client.ehlo("source.test")
            client.mail("a@source.test")
            taken = sum(client.rcpt(f"{name}@relay.test")[0] == 250 for name in "abc")
            return client.esmtp_features["size"], taken

    with relay:
        assert (limits(relay.smtp_port), limits(port)) == ((str(25 * 2**20), 3), ("4096", 1))
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            client.ehlo("source.test")
            client.mail("a@source.test")
            client.rcpt("a@relay.test")
            assert client.data(("x" * 70 + "\r\n") * 80)[0] == 552
        relay.write_config(more=tables + own.format("8KiB", 2))
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        wait_for(lambda: limits(port) == ("8192", 2), 20, relay.tail)
        assert limits(relay.smtp_port) == (str(25 * 2**20), 3)
        assert "listener[2].smtp.max_recipients = 2  #" in relay.run("config", "show")
