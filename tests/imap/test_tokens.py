"""The tokeniser against its twin, and sessions against anything."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.imap.agreement import session, tokens

WORDS = st.sampled_from(
    [b"a", b"{3}\r\n", b"{2+}\r\n", b"~{1}\r\n", b'"', b"\\", b"\\Seen", b"(", b")", b"*", b":", b",", b"12", b"0",
     b"\r\n", b"\0", b"\xc3\xa4", b"]", b"%", b"4294967296", b"{}", b"$", b" "]
)  # fmt: skip
COMMANDS = st.sampled_from(
    [b"FETCH", b"STORE", b"SEARCH", b"UID", b"APPEND", b"INBOX", b"1:*", b"FLAGS", b"BODY[", b"HEADER.FIELDS", b"NOT",
     b"OR", b"ALL", b"SELECT", b"LIST", b"RETURN", b"STATUS", b"IDLE", b"DONE", b"COPY", b"MOVE", b"EXPUNGE", b"SORT",
     b"THREAD", b"REFERENCES", b"UTF-8", b"CREATE", b"CATENATE", b"TEXT", b"URL", b"ENABLE", b"QRESYNC", b"LOGOUT",
     b"NOTIFY", b"SET", b"(PERSONAL",
     b"(SELECTED", b"(MessageNew", b"MessageExpunge))", b"GETMETADATA", b"SETMETADATA", b"(/private/x", b"PARTIAL",
     b"1:2", b"UNAUTHENTICATE"]
)  # fmt: skip


@given(st.one_of(st.lists(WORDS, max_size=12).map(b"".join), st.binary(max_size=40)))
def test_tokeniser_and_twin_agree(octets):
    tokens(octets)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(WORDS, COMMANDS), max_size=30).map(b" ".join))
def test_a_session_bears_whatever_it_is_told_however_it_is_cut(octets):
    session(b"x " + octets + b"\r\nz NOOP\r\n")
