"""What is wrong with a script is said, all of it, with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sieve import EXTENSIONS, Problem, ScriptError, compile_script, limits
from relay.sieve.language import COMMANDS, TESTS


def told(script: str | bytes) -> list[Problem]:
    try:
        compile_script(script.encode() if isinstance(script, str) else script)
    except ScriptError as fault:
        return fault.problems
    return []


def problems(script: str | bytes) -> list[str]:
    return [str(each) for each in told(script)]


def test_all_errors_are_told_at_once_in_order_with_line_and_column():
    assert problems('keep "x";\r\n  fileinto "a";\r\nif foo { redirect "nobody"; }\r\nbar;') == [
        "line 1, column 6: keep takes no more arguments than 0",
        'line 2, column 3: fileinto needs require "fileinto"',
        'line 3, column 4: "foo" is no test',
        'line 3, column 10: "nobody" is no mail address (local-part@domain)',
        'line 4, column 1: "bar" is no command',
    ]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("keep", '";" or "{" should be here, not the end of the script'),
        ('if header "a" { keep; }', "header needs a string or a list of strings more"),
        ('require "nothing";', 'the extension "nothing" is not known here'),
        ('keep; require "fileinto";', "require stands before all other commands"),
        ("if true { keep; ", 'this "{" is never closed'),
        ("/* x", "this comment has no end"),
        ('keep "x', "this string has no end"),
        ("redirect text:\nx\n", 'this "text:" has no end: a line with nothing but a dot'),
        ("if size :over 99999999999G { keep; }", "a number is at most 9223372036854775807"),
        ("if size :over 10 :under 5 { keep; }", '":under" and ":over" exclude each other'),
        ("if size 10 { keep; }", 'size needs ":over" or ":under"'),
        ('if header :is :is "a" "b" { keep; }', '":is" is given twice'),
        ('if header :foo "a" "b" { keep; }', 'header has no argument ":foo"'),
        ('if header :comparator "x" "a" "b" { keep; }', 'there is no comparator "x"'),
        ('if header "a b" "c" { keep; }', '"a b" is no name of a header field'),
        ('if address "subject" "c" { keep; }', '"subject" is no header field with addresses'),
        ('require "relational"; if header :count "xx" "a" "1" { keep; }', '":count" takes one of gt, ge, lt,'),
        ('require "imap4flags"; addflag "\\\\Nope";', '"\\Nope" is no flag'),
        ('require "date"; if currentdate :zone "x" "year" "1" { keep; }', '"x" is no time zone such as +0100'),
        ('require "index"; if header :last "a" "b" { keep; }', '":last" needs ":index"'),
        ('if header :index 1 "a" "b" { keep; }', '":index" needs require "index"'),
        ("else { keep; }", "else has no if before it"),
        ("if true { keep; } keep; elsif true { keep; }", "elsif has no if before it"),
        ("if allof true { keep; }", "allof takes a list of tests in parentheses"),
        ("if not (true, false) { keep; }", "not takes one test, not a list; use allof or anyof"),
        ("true;", '"true" is a test, not a command'),
        ("if keep { stop; }", '"keep" is a command, not a test'),
        ("}", 'this "}" closes nothing'),
        ("keep; ?", "'?' has no meaning here"),
        ('require "encoded-character"; redirect "${unicode:D800}";', "${unicode:D800} is no Unicode character"),
    ],
)  # fmt: skip
def test_each_error_has_its_words(script: str, said: str):
    assert any(said in each for each in problems(script)), problems(script)


def test_octets_that_are_not_utf8_and_a_nul_are_refused_where_they_stand():
    """RFC 5228 2.1."""
    assert problems(b"keep;\n# \xff") == ["line 2, column 3: this is not UTF-8"]
    assert problems(b"keep;\0") == ["line 1, column 6: a NUL is not allowed in a script"]


def test_nesting_length_and_number_are_bounded():
    """RFC 5228 2.10.5: 15 levels must be possible."""
    assert problems("if true {" * 15 + "}" * 15) == []
    assert "nested more than" in problems("if true {" * 10_000)[0]
    assert "nested more than" in problems("if " + "not " * 10_000 + "true { keep; }")[0]
    assert "commands and tests" in problems("keep;" * (limits.COMMANDS + 1))[0]
    assert any("a string has at most" in each for each in problems(f'redirect "{"x" * 70_000}";'))
    assert "a list has at most" in problems("if exists [" + ",".join(['"a"'] * 5000) + "] { keep; }")[0]
    assert "octets" in problems("#" * (limits.SCRIPT_OCTETS + 1))[0]
    assert len(problems("foo;" * 1000)) == limits.PROBLEMS


def test_every_extension_that_a_command_or_tag_needs_can_be_required():
    needed = {name for table in (COMMANDS, TESTS) for each in table.values() for name in each.extensions}
    needed |= {tag.extension for table in (COMMANDS, TESTS) for each in table.values() for tag in each.tags.values()}
    assert needed - {""} <= set(EXTENSIONS)


_WORDS = st.sampled_from([
    "if", "elsif", "else", "keep", "require", "fileinto", "header", "anyof", "not", "true", ":is", ":over", ":flags",
    '"a"', '["a", "b"]', "(", ")", "{", "}", ",", ";", "\n", "/*", "*/", "#", "text:\n", ".\n", '"', "[", "]", "\\",
    "${1}",
])  # fmt: skip


@given(st.lists(_WORDS, max_size=60).map(" ".join))
def test_any_script_compiles_or_tells_problems_that_lie_within_it(script: str):
    lines = script.split("\n")
    found = told(script)
    assert found == sorted(found)
    for each in found:
        assert 1 <= each.line <= len(lines)
        assert 1 <= each.column <= len(lines[each.line - 1]) + 1


def _written(item, depth: int) -> str:
    name, arguments, children = item
    return f"{name} {arguments}" + (
        f" {{ {' '.join(_written(each, depth + 1) for each in children)} }}" if name == "if" else ";"
    )


_LEAVES = st.tuples(st.sampled_from(["keep", "stop", "discard"]), st.just(""), st.just(()))
_ITEMS = st.recursive(
    _LEAVES,
    lambda inner: st.tuples(
        st.just("if"), st.sampled_from(["true", "not false", 'header "a" ["b", "c"]']), st.lists(inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(_ITEMS, max_size=6))
def test_a_script_that_is_written_from_a_tree_is_read_as_that_tree(items):
    def tree(nodes):
        return [(node.name, tree(node.block)) for node in nodes]

    def wanted(given_items):
        return [(name, wanted(children)) for name, _, children in given_items]

    script = compile_script(" \r\n".join(_written(each, 0) for each in items).encode())
    assert tree(script.commands) == wanted(items)
