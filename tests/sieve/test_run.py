"""What scripts do, beyond what is compared with Pigeonhole (test_pigeonhole.py)."""

from __future__ import annotations

from base64 import b64encode

import pytest

from relay.sieve import RunError, ScriptError, compile_script
from relay.sieve.actions import FileInto, Keep, Redirect, Reject, Vacation
from relay.sieve.triggers import may_run
from tests.sieve.running import ALL, MESSAGE, holds, run


def vacation_of(script: str) -> Vacation:
    vacation = run(script).vacation
    assert vacation is not None
    return vacation


def header_of(script: str, message: bytes = MESSAGE) -> bytes | None:
    return run(script, message).stores[0].header


def test_nothing_said_is_a_keep():
    """RFC 5228 2.10.2."""
    assert run("").stores == [Keep()]
    assert run("").is_plain_keep


def test_a_rejection_cancels_the_keep_and_goes_with_nothing_else():
    """RFC 5429 2.2, 2.3."""
    assert run('reject "no";').reject == Reject("no", is_early=False)
    assert run('ereject "no";').reject == Reject("no", is_early=True)
    assert run('reject "no"; discard;').stores == []
    for script in ('keep; reject "no";', 'reject "no"; keep;', 'reject "a"; reject "b";', 'vacation "x"; reject "a";'):
        with pytest.raises(RunError, match="line 2"):
            run(script)


def test_vacation_has_its_period_its_handle_and_happens_once():
    """RFC 5230 4, RFC 6131."""
    vacation = run('vacation :days 3 :subject "s" :from "ann@x.org" :addresses ["a@b", "c@d"] "gone";').vacation
    assert vacation is not None
    assert (vacation.seconds, vacation.subject, vacation.sender, vacation.addresses) == (
        259_200, "s", "ann@x.org", ("a@b", "c@d"),
    )  # fmt: skip
    assert vacation_of('vacation :seconds 0 "gone";').seconds == 0
    assert vacation_of('vacation "gone";').seconds == 7 * 86_400
    assert vacation_of('vacation :days 0 "gone";').seconds == 86_400
    assert vacation_of('vacation "a";').handle != vacation_of('vacation "b";').handle
    assert vacation_of('vacation :handle "h" "a";').handle == vacation_of('vacation :handle "h" "b";').handle
    assert run('vacation "gone";').stores == [Keep()]
    with pytest.raises(RunError, match="only once"):
        run('vacation "a"; vacation "b";')


def test_headers_are_added_and_removed_and_later_actions_have_them():
    """RFC 5293 4, 5."""
    result = run('fileinto "A"; addheader "X-A" "1"; fileinto "B"; deleteheader "subject"; keep;')
    assert [store.header for store in result.stores] == [
        None,
        b"X-A: 1\r\n" + MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 2],
        b"X-A: 1\r\n" + MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 2].replace(b"Subject: hello\r\n", b""),
    ]
    assert holds('exists "x-a"', b"X-A: 1\r\n\r\n")
    assert (header_of('addheader :last "X-A" "ü"; keep;') or b"").endswith(b"X-A: =?utf-8?b?w7w=?=\r\n")


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ('deleteheader "x";', ""),
        ('deleteheader :index 1 "x";', "bc"),
        ('deleteheader :index 1 :last "x";', "ab"),
        ('deleteheader :index 9 "x";', "abc"),
        ('deleteheader :contains "x" "b";', "ac"),
        ('deleteheader :matches "x" ["a*", "c*"];', "b"),
        ('deleteheader :index 2 :is "x" "a";', "abc"),
        ('deleteheader "received"; deleteheader "auto-submitted"; deleteheader "x";', ""),
    ],
)
def test_which_fields_are_deleted(script: str, left: str):
    """RFC 5293 5; 6: Received and Auto-Submitted stay."""
    message = b"X: a\r\nX: b\r\nReceived: r\r\nX: c\r\nAuto-Submitted: no\r\n\r\n"
    header = header_of(script + "keep;", message) or message[:-2]
    assert header == b"".join(
        line for line in message[:-2].splitlines(keepends=True) if line[:1] != b"X" or line[3:4].decode() in left
    )


def test_a_header_value_of_a_script_cannot_begin_another_field():
    header = header_of('set "v" text:\na\nEvil: yes\n.\n; addheader "X-A" "${v}"; keep;')
    assert header is not None
    assert b"\nEvil" not in header


def test_duplicate_asks_for_the_id_and_tracks_what_is_new():
    """RFC 7352 3."""
    asked = []

    def was_seen(key, seconds, is_renewed):
        asked.append((key, seconds, is_renewed))
        return key.endswith("old")

    result = run("if duplicate { discard; }", was_seen=was_seen)
    assert [(track.key, track.seconds) for track in result.tracks] == [("\0<1@x>", 604_800)]
    assert run('if duplicate :handle "h" :uniqueid "old" { discard; }', was_seen=was_seen).is_discarded
    assert run('if duplicate :last :seconds 60 :uniqueid "old" { keep; }', was_seen=was_seen).tracks[0].seconds == 60
    assert not run('if duplicate :header "x-none" { discard; }', was_seen=was_seen).tracks
    assert asked[-1] == ("\0old", 60, True)


def _library(**scripts: str):
    return lambda location, name: compile_script(scripts[f"{location}_{name}"].encode()) if (
        f"{location}_{name}" in scripts) else None  # fmt: skip


def test_include_runs_the_script_shares_globals_and_return_ends_it_alone():
    """RFC 6609 3."""
    load = _library(
        personal_a='require ["variables", "include"]; global "g"; set "g" "there"; set "own" "x"; return; discard;',
        global_b="stop;",
    )
    assert run('include "a"; fileinto "${global.g}${own}";', load=load).stores == [FileInto("there")]
    assert run('include :personal "a"; include :global "b"; discard;', load=load).stores == [Keep()]
    assert run('include :optional "zzz"; discard;', load=load).is_discarded
    assert run('include "a"; include :once "a"; discard;', load=load).is_discarded
    with pytest.raises(RunError, match="no personal script"):
        run('include "zzz";', load=load)


def test_an_include_that_includes_itself_or_is_broken_is_an_error():
    load = _library(personal_a='require "include"; include "a";', personal_b="foo;")
    with pytest.raises(RunError, match="includes itself"):
        run('include "a";', load=load)
    with pytest.raises(RunError, match="is broken: line 1"):
        run('include "b";', load=load)


def test_special_use_finds_its_mailbox_or_falls_back():
    """RFC 8579 3, 4."""
    special = {"\\Junk": "Spam"}.get
    assert run('fileinto :specialuse "\\\\Junk" "J";', special_use=special).stores == [FileInto("Spam")]
    assert run('fileinto :specialuse "\\\\Trash" "T";', special_use=special).stores == [
        FileInto("T", special_use="\\Trash")
    ]
    assert holds('specialuse_exists "\\\\Junk"', special_use=special)
    assert not holds('specialuse_exists ["\\\\Junk", "\\\\Trash"]', special_use=special)
    assert holds('specialuse_exists "Spam" "\\\\Junk"', special_use=special, mailbox_exists=lambda _name: True)


@pytest.mark.parametrize(
    ("field", "level", "percent"),
    [
        ("", "0", "0"),
        ("X-Spam-Status: No, score=0.0 required=5.0", "1", "0"),
        ("X-Spam-Status: No, score=2.5 required=5.0 tests=x", "5", "50"),
        ("X-Spam-Status: Yes, score=15.2 required=5.0", "10", "100"),
        ("X-Spam-Flag: YES", "10", "100"),
        ("X-Spam: yes", "10", "100"),
        ("X-Spam-Flag: NO", "1", "0"),
    ],
)
def test_spamtest(field: str, level: str, percent: str):
    """RFC 5235 2."""
    message = (field + "\r\n").encode() + MESSAGE if field else MESSAGE
    assert holds(f'spamtest :value "eq" :comparator "i;ascii-numeric" "{level}"', message)
    assert holds(f'spamtest :percent :is "{percent}"', message)


@pytest.mark.parametrize(
    ("field", "level"), [("", "0"), ("X-Virus-Status: Clean", "1"), ("X-Virus-Status: Infected (x)", "5")]
)
def test_virustest(field: str, level: str):
    """RFC 5235 3."""
    assert holds(f'virustest "{level}"', (field + "\r\n").encode() + MESSAGE if field else MESSAGE)


def test_the_null_reverse_path_is_the_empty_string_in_every_part():
    """RFC 5228 5.4."""
    for part in (":all", ":localpart", ":domain", ":user"):
        assert holds(f'envelope {part} :is "from" ""', reverse_path="")


def test_encoded_characters():
    """RFC 5228 2.4.2.4."""
    assert holds('string "${hex:24 41}${unicode:42}" "$AB"')
    assert holds('string "${hex:G}" "${hex:G}"')


def test_what_is_wrong_only_when_the_script_runs_is_told_with_its_line():
    for script, said in [
        ('set "a" "x"; redirect "${a}";', "no mail address"),
        ('fileinto "${a}";', "no name of a mailbox"),
        ('if header "${a}" "x" { keep; }', "no name of a header field"),
        ('include "${a}";', "no name of a script"),
    ]:
        with pytest.raises(RunError, match=f"line 2: .*{said}"):
            run(script)


def test_no_script_runs_away():
    with pytest.raises(RunError, match="takes too long"):
        run(
            'if header :matches "subject" "*?a*?b*?c*x" { keep; }\n' * 3000, b"Subject: " + b"ab" * 30_000 + b"\r\n\r\n"
        )
    with pytest.raises(RunError, match="more than 64 actions"):
        run("keep;" * 65)
    with pytest.raises(RunError, match="variables"):
        run("".join(f'set "v{number}" "x";' for number in range(300)))
    with pytest.raises(RunError, match="header fields added"):
        run('addheader "a" "b";' * 101)
    assert run('set "a" "' + "x" * 9000 + '"; if string :matches "${a}" "*" { fileinto "a"; }').stores
    grown = 'set "a" "xxxxxxxxxx";' + 'set "a" "${a}${a}";' * 40 + 'set :length "n" "${a}"; fileinto "n${n}";'
    assert run(grown).stores == [FileInto("n8192")]


def test_redirect_takes_a_copy_and_an_address_once():
    result = run('redirect :copy "a@b.c"; redirect "a@b.c";')
    assert (result.redirects, result.stores) == ([Redirect("a@b.c")], [])


def test_a_broken_require_is_a_script_error_and_not_a_run_error():
    with pytest.raises(ScriptError):
        run('require "x";')


@pytest.mark.parametrize(
    ("script", "waits_for"),
    [
        ('if header "X-Spam" "yes" { discard; }', {b"x-spam"}),
        ('if anyof (header "A" "b", header :matches ["C", "D"] "*") { discard; } elsif header "e" "f" { keep; }',
         {b"a", b"c", b"d", b"e"}),
        ('if allof (true, header "A" "b") { discard; }', {b"a"}),
        ("", set()),
        ('if header "a" "b" { keep; } else { discard; }', None),
        ('if anyof (true, header "A" "b") { discard; }', None),
        ('if not header "A" "b" { discard; }', None),
        ('if header :count "lt" :comparator "i;ascii-numeric" "a" "1" { discard; }', None),
        ('if header "${a}" "b" { discard; }', None),
        ("discard;", None),
    ],
)  # fmt: skip
def test_a_script_that_waits_for_fields_is_not_run_without_them_and_would_do_nothing(script: str, waits_for):
    compiled = compile_script((ALL + script).encode())
    assert compiled.triggers == waits_for
    if waits_for is not None:
        assert run(script).is_plain_keep
        assert not may_run(compiled.triggers or frozenset(), MESSAGE)
        assert all(may_run(frozenset({name}), name.upper() + b" : x\r\n\r\n") for name in waits_for)


def test_an_encoded_word_with_a_comma_is_one_address():
    """Fields are taken apart before encoded words are decoded (RFC 2047 5, rule 3)."""
    message = b"From: =?utf-8?q?Doe=2C_x=40y=2Etest?= <john@example.org>\r\n\r\n"
    assert holds('address :all :is "from" "john@example.org"', message)
    assert not holds('address :domain :contains "from" "y.test"', message)
    assert holds('address :count "eq" :comparator "i;ascii-numeric" "from" "1"', message)


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [("gb2312", "朱镕基".encode("gbk"), "镕"), ("utf-8", b"k\xc3\xa4se \xff", "käse"), ("iso-8859-1", b"5 \x80", "€"),
     ("zlib", "käse".encode(), "käse"), ("utf-7", b"+2AA-x", "x")],
)  # fmt: skip
def test_header_and_body_are_read_by_the_labels_of_real_mail(label, octets, text):
    head = b"Subject: =?%s?B?%s?=\r\nContent-Type: text/plain; charset=%s\r\n" % (
        label.encode(), b64encode(octets), label.encode(),
    )  # fmt: skip
    message = head + b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode(b"x " + octets) + b"\r\n"
    assert holds(f'header :contains "subject" "{text}"', message)
    assert holds(f'body :text :contains "{text}"', message)


def test_all_fields_of_a_name_are_deleted_from_among_others():
    message = b"".join(b"X-A: %d\r\nX-B: %d\r\n" % (number, number) for number in range(5)) + b"no field\r\n\r\n"
    header = header_of('deleteheader :contains "x-a" ["1", "3"]; deleteheader "x-b"; keep;', message)
    assert header == b"X-A: 0\r\nX-A: 2\r\nX-A: 4\r\n"


def test_a_value_is_folded_once_for_all_its_keys():
    """RFC 4790 9.2: i;ascii-casemap knows ASCII's letters alone; i;unicode-casemap the others."""
    message = "Subject: GRÜSSE aus KÖLN\r\n\r\n".encode()
    assert holds('header :contains "subject" ["nosuch", "aus kÖln"]', message)
    assert not holds('header :contains "subject" ["nosuch", "aus köln"]', message)
    assert holds('header :contains :comparator "i;unicode-casemap" "subject" ["nosuch", "aus köln"]', message)
    assert holds('header :matches :comparator "i;unicode-casemap" "subject" ["n*", "*üsse*"]', message)


def test_folding_what_is_not_ascii_is_charged():
    message = b"Subject: " + "ß".encode() * 32_000 + b"\r\n\r\n"
    script = "".join('if header :is :comparator "i;unicode-casemap" "subject" "x" { stop; }' for _ in range(200))
    with pytest.raises(RunError):
        run(script, message)
