"""Pairs of certificate and key: what is read, what is refused and why, what is made."""

import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from relay.net import certificates
from relay.net.certificates import CertificateError, Files
from tests.support.tls import make_pair

NOW = datetime.now(UTC)


def test_a_pair_is_read_with_its_names_and_times(tmp_path):
    pair = certificates.read(make_pair(tmp_path, "mx.example.org", "*.Example.NET", days=10))
    assert pair.names == ("mx.example.org", "*.example.net")
    assert timedelta(days=9) < pair.expires_at - NOW < timedelta(days=11)
    assert pair.starts_at < NOW


def test_certificate_and_key_may_stand_in_one_file(tmp_path):
    files = make_pair(tmp_path, "mx.example.org")
    both = tmp_path / "both.pem"
    both.write_bytes(files.key.read_bytes() + files.cert.read_bytes())
    pair = certificates.read(Files(both, both))
    assert b"PRIVATE" not in pair.chain
    assert pair.names == ("mx.example.org",)


def test_the_common_name_counts_where_there_is_no_other_name(tmp_path):
    """RFC 6125 6.4.4."""
    assert certificates.read(make_pair(tmp_path, common_name="old.example.org")).names == ("old.example.org",)


def test_the_chain_is_kept_as_a_whole(tmp_path):
    files, above = make_pair(tmp_path, "mx.example.org"), make_pair(tmp_path, "ca.example.org", stem="ca")
    files.cert.write_bytes(files.cert.read_bytes() + above.cert.read_bytes())
    pair = certificates.read(files)
    assert pair.chain.count(b"BEGIN CERTIFICATE") == 2
    assert pair.names == ("mx.example.org",)


def encrypted(files: Files) -> bytes:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )


FAULTS = {
    "the key of another": (lambda files, other: files.key.write_bytes(other.key.read_bytes()), "is not the key of"),
    "a key with a password": (lambda files, _: files.key.write_bytes(encrypted(files)), "encrypted"),
    "no key in it": (lambda files, _: files.key.write_bytes(files.cert.read_bytes()), "no private key"),
    "no certificate in it": (lambda files, _: files.cert.write_bytes(b"hello\n"), "no certificate"),
    "half a certificate": (lambda files, _: files.cert.write_bytes(files.cert.read_bytes()[:200]), "no certificate"),
    "an empty file": (lambda files, _: files.cert.write_bytes(b""), "no certificate"),
    "no file": (lambda files, _: files.key.unlink(), "No such file"),
    "a folder": (lambda files, _: (files.key.unlink(), files.key.mkdir()), "Is a directory"),
    "something huge": (lambda files, _: files.key.write_bytes(b"x" * (1 << 21)), "too large"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_pair_that_will_not_do_is_refused_and_the_file_is_named(tmp_path, name):
    files, other = make_pair(tmp_path, "mx.example.org"), make_pair(tmp_path, "b.example.org", stem="other")
    damage, text = FAULTS[name]
    damage(files, other)
    with pytest.raises(CertificateError, match=text) as raised:
        certificates.read(files)
    assert str(tmp_path / "pair.") in str(raised.value)
    assert "PRIVATE" not in str(raised.value)


def test_a_swapped_symbolic_link_changes_the_signature(tmp_path):
    old, new = make_pair(tmp_path / "1", "mx.example.org"), make_pair(tmp_path / "2", "mx.example.org")
    link = Files(tmp_path / "live.crt", tmp_path / "live.key")
    link.cert.symlink_to(old.cert)
    link.key.symlink_to(old.key)
    before = certificates.signature(link)
    assert certificates.signature(link) == before
    (tmp_path / "next").symlink_to(new.cert)
    (tmp_path / "next").rename(link.cert)
    assert certificates.signature(link) != before


def test_a_file_that_is_gone_has_a_signature_too(tmp_path):
    files = make_pair(tmp_path, "mx.example.org")
    before = certificates.signature(files)
    files.key.unlink()
    assert certificates.signature(files) != before


# ---- self-signed ----------------------------------------------------------------------------------------------------


def test_the_self_signed_certificate_is_for_its_owner_alone(tmp_path):
    files = certificates.self_signed(tmp_path / "tls", "mx.example.org", NOW)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    pair = certificates.read(files)
    assert pair.names == ("mx.example.org",)
    assert pair.starts_at < NOW < pair.expires_at - timedelta(days=3000)


def test_the_self_signed_certificate_stays_the_same(tmp_path):
    """Clients remember it."""
    first = certificates.self_signed(tmp_path, "mx.example.org", NOW).cert.read_bytes()
    assert certificates.self_signed(tmp_path, "mx.example.org", NOW + timedelta(days=1000)).cert.read_bytes() == first


@pytest.mark.parametrize(
    "reason", ["another name", "expires soon", "broken", "half written before a crash"]
)  # fmt: skip
def test_it_is_made_anew_when_it_will_not_do(tmp_path, reason):
    files = certificates.self_signed(tmp_path, "mx.example.org", NOW)
    first = files.cert.read_bytes()
    hostname, now = "mx.example.org", NOW
    if reason == "another name":
        hostname = "mx2.example.org"
    elif reason == "expires soon":
        now = NOW + timedelta(days=3640)
    elif reason == "broken":
        files.cert.write_bytes(first[:300])
    else:
        files.cert.rename(files.cert.with_suffix(".new"))
    again = certificates.self_signed(tmp_path, hostname, now)
    assert again.cert.read_bytes() != first
    assert certificates.read(again).names == (hostname,)
    assert [path.name for path in tmp_path.iterdir()] == ["self-signed.pem"]


def test_a_host_name_that_is_too_long_for_a_common_name(tmp_path):
    """X.520 allows 64 characters, a domain name may have 253."""
    hostname = ".".join(["a" * 60] * 4)
    assert certificates.read(certificates.self_signed(tmp_path, hostname, NOW)).names == (hostname,)


def test_processes_that_start_together_get_the_same(tmp_path):
    program = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC; from relay.net import certificates\n"
        "print(certificates.read(certificates.self_signed(Path(sys.argv[1]), 'a.example', datetime.now(UTC))).chain)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(4)
    ]
    chains = {process.communicate(timeout=60)[0] for process in running}
    assert len(chains) == 1
    assert b"CERTIFICATE" in chains.pop()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "tls").write_text("not a folder")
    with pytest.raises(CertificateError, match=str(tmp_path / "tls")):
        certificates.self_signed(tmp_path / "tls", "mx.example.org", NOW)
