"""Input that is nearly right: tokens of each grammar in any order, with some noise between."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

FILLER = [b"x" * n for n in (1, 2, 15, 61, 62, 63, 64, 65, 76)]
ENDS = [b"\r\n", b"\r", b"\n", b".", b"\r\n.\r\n", b"\r\n.", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\0", b"\r\r\n"]
CONTENT_TOKENS = [*ENDS, *FILLER, b"..", b"\r\n..", "é".encode(), b"\xff", b" "]
LOCAL_TOKENS = [
    b"user", b"a", b".", b"..", b"%", b"!", b"+tag", b'"', b"\\", b'\\"', b" ", b"postmaster", b"POSTMASTER",
]  # fmt: skip
DOMAIN_TOKENS = [
    b"example", b".org", b".", b"-", b"_", b"1", b"127.0.0.1", "ü".encode(), b"[", b"]", b"[127.0.0.1]", b"[IPv6:",
    b"::1", b"::", b":", b"2001:db8", b"ffff", b"[tag:x]", b"256", b"01", b"0", b".1.2.3",
]  # fmt: skip
PATH_TOKENS = [
    b"FROM:", b"TO:", b"from:", b"<", b">", b"@", b"@a,", b"@a,@b:", b":", b",", b" ", b" SIZE=1", b"\t", b"\xff",
    b"\xc3", "é".encode(), "\U0001f4ee".encode(), b"<>", b"x" * 63, b"y" * 64, b"z" * 65, b"w" * 190, b"\0", b"\r",
    *LOCAL_TOKENS, *DOMAIN_TOKENS,
]  # fmt: skip
NAMES = [b"Received", b"received", b"Date", b"Message-ID", b"From", b"To", b"Delivered-To", b"Subject", b"Content-Type"]
HEADER_TOKENS = [
    *NAMES, b":", b" ", b"\t", b"\r\n", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\n", b"\r", b"x", b"\xff", b"X-Y:",
]  # fmt: skip
REPLY_TOKENS = [
    b"250", b"250-", b"250 ", b"550 ", b"550-", b"354 ", b"199 ", b"600 ", b"2.1.0 ", b"5.1.1 ", b"5.1.1",
    b"2.1000.1 ", b"5.", b"\r\n", b"\r\n", b"\n", b"\r", b"\0", b"text", b" ", b"-", b"\xff", b"SIZE 100", b"x" * 40,
    b"3.0.0 ", b"5.001.02 ",
]  # fmt: skip
COMMAND_TOKENS = [
    b"HELO", b"ehlo", b"MAIL", b"Rcpt", b"DATA", b"QUIT", b"STARTTLS", b"AUTH", b"GET", b"POST", b"PRI", b"get", b" ",
    b"\t", b" * HTTP/2.0", b"\x16", b"\x16\x03\x01", b"FROM:<a@b>", b"x", b"-", b"\r", b"\xcd", b"\x0dAIL", b"\xff",
    b"BDAT", b"LHLO",
]  # fmt: skip
PARAM_TOKENS = [
    b"SIZE", b"size", b"BODY", b"=", b"=", b" ", b" ", b"8BITMIME", b"SMTPUTF8", b"-", b"MT-PRIORITY", b"REQUIRETLS",
    b"+2B", b"+2b", b"+", b"0", b"9" * 19, b"9223372036854775807", b"12345", "é".encode(), b"\xff", b"\t", b"<",
    b"\x7f", b"RET", b"BY",
]  # fmt: skip


def of(tokens: list[bytes], most: int = 14) -> SearchStrategy[bytes]:
    """Any sequence of tokens, now and then with random octets among them."""
    token = st.one_of(st.sampled_from(tokens), st.sampled_from(tokens), st.binary(max_size=3))
    return st.lists(token, max_size=most).map(b"".join)


def _path(keyword: bytes, route: bytes, local: bytes, domain: bytes, rest: bytes) -> bytes:
    return keyword + b"<" + route + local + b"@" + domain + b">" + rest


def paths() -> SearchStrategy[bytes]:
    """Whole paths whose parts are nearly right."""
    return st.builds(
        _path,
        st.sampled_from([b"FROM:", b"TO:", b"To: ", b"from:  "]),
        st.sampled_from([b"", b"", b"@a.example:", b"@a,@b.c:", b"@1:", b"@a-:", b"@a,:"]),
        st.one_of(of(LOCAL_TOKENS, 5), of(LOCAL_TOKENS, 4).map(lambda local: b'"' + local + b'"')),
        st.one_of(of(DOMAIN_TOKENS, 5), of(DOMAIN_TOKENS, 4).map(lambda literal: b"[" + literal + b"]")),
        st.sampled_from([b"", b" ", b" SIZE=1 ", b"x", b">"]),
    )
