"""Every parser agrees with its twin: on random octets, on nearly right input, whole and in pieces."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fastparse import agreement, samples

QUICK = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MORE = settings(QUICK, max_examples=1500)


@QUICK
@given(st.one_of(samples.of(samples.CONTENT_TOKENS, 8), st.binary(max_size=80)))
def test_lines_agree(octets: bytes) -> None:
    agreement.lines(octets)


@MORE
@given(st.one_of(samples.of(samples.COMMAND_TOKENS, 5), st.binary(max_size=20)))
def test_commands_agree(octets: bytes) -> None:
    agreement.command(octets)


@MORE
@given(st.one_of(samples.paths(), samples.of(samples.PATH_TOKENS)))
def test_paths_agree(octets: bytes) -> None:
    agreement.path(octets)


@MORE
@given(st.one_of(samples.paths().map(lambda path: path.partition(b"<")[2].partition(b">")[0]), st.binary(max_size=20)))
def test_mailboxes_agree(octets: bytes) -> None:
    agreement.mailbox(octets)


@MORE
@given(st.one_of(samples.of(samples.DOMAIN_TOKENS, 6), st.ip_addresses(v=6).map(lambda ip: f"[IPv6:{ip}]".encode())))
def test_hosts_agree(octets: bytes) -> None:
    agreement.host(octets)


@MORE
@given(st.text(alphabet="0123456789abcF:.", max_size=24).map(str.encode))
def test_ip_addresses_in_literals_agree(octets: bytes) -> None:
    agreement.host(b"[" + octets + b"]")
    agreement.host(b"[IPv6:" + octets + b"]")


@MORE
@given(samples.of(samples.PARAM_TOKENS, 8))
def test_parameters_and_xtext_agree(octets: bytes) -> None:
    agreement.params(octets)
    agreement.xtext(octets)


@QUICK
@given(samples.of(samples.CONTENT_TOKENS))
def test_content_scans_agree_however_the_input_is_cut(octets: bytes) -> None:
    """Issue 2, shown by 7: whole, cut at every byte, one byte at a time."""
    agreement.content(octets)


@QUICK
@given(samples.of(samples.CONTENT_TOKENS))
def test_chunk_scans_agree_however_the_input_is_cut(octets: bytes) -> None:
    agreement.chunk(octets)


@QUICK
@given(samples.of(samples.CONTENT_TOKENS))
def test_stuffing_agrees_however_the_input_is_cut(octets: bytes) -> None:
    agreement.dots(octets)


@MORE
@given(samples.of(samples.HEADER_TOKENS))
def test_header_scans_agree(octets: bytes) -> None:
    agreement.header(octets)


@QUICK
@given(samples.of(samples.REPLY_TOKENS))
def test_replies_agree_however_the_input_is_cut(octets: bytes) -> None:
    agreement.reply(octets)
