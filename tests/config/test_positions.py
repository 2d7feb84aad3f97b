"""Line numbers of keys, compared with a slow and obvious twin and with what tomllib finds."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.positions import key_lines

DOCUMENT = '''\
# a comment with a = 1
top = "x # not a comment"
list = [
  "a", # one ] in a comment
  "b]",
  ["c", "d"],
]
long = """
fake = 1
[fake]
\\"""
"""
literal = \'\'\'
also.fake = 2
\'\'\'
dotted.key."quoted key" = 1

[table]
inline = { a = 1, b = [2,
  3] }
date = 1979-05-27T07:32:00Z

[[array]]
name = "one"
[array.inner]
deep = 1
[[array]]
name = "two"
[array.inner]
deep = 2
[[array.sub]]
x = 1
'''


def test_every_key_table_and_item_has_its_line():
    lines = key_lines(DOCUMENT)
    expected = {
        ("top",): 2,
        ("list",): 3,
        ("list", 0): 4,
        ("list", 1): 5,
        ("list", 2): 6,
        ("list", 2, 1): 6,
        ("long",): 8,
        ("literal",): 13,
        ("dotted",): 16,
        ("dotted", "key", "quoted key"): 16,
        ("table",): 18,
        ("table", "inline"): 19,
        ("table", "inline", "a"): 19,
        ("table", "inline", "b", 1): 20,
        ("table", "date"): 21,
        ("array",): 23,
        ("array", 0): 23,
        ("array", 0, "name"): 24,
        ("array", 0, "inner"): 25,
        ("array", 0, "inner", "deep"): 26,
        ("array", 1): 27,
        ("array", 1, "inner", "deep"): 30,
        ("array", 1, "sub", 0, "x"): 32,
    }
    assert {path: lines.get(path) for path in expected} == expected


def paths(value, path=()):
    """Every path in what tomllib read."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from paths(inner, (*path, number))


def test_the_paths_are_exactly_those_that_tomllib_reads():
    assert set(key_lines(DOCUMENT)) == set(paths(tomllib.loads(DOCUMENT)))


KEY = st.sampled_from(["a", "b", "c", '"q k"', "'l'"])
VALUE = st.recursive(
    st.sampled_from(["1", '"x"', "'#'", '"""a\n=b"""', "'''\nc\n'''", "true", "1.5", '"\\""', '""', "''", '""""""']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",\n ".join(items) + "]"),
        st.dictionaries(KEY, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        ),
    ),
    max_leaves=6,
)
LINE = st.one_of(
    st.tuples(KEY, VALUE).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    st.tuples(KEY, KEY, VALUE).map(lambda pair: f"{pair[0]}.{pair[1]} = {pair[2]}"),
    KEY.map(lambda key: f"[{key}]"),
    KEY.map(lambda key: f"[[{key}]]"),
    st.tuples(KEY, KEY).map(lambda keys: f"[{keys[0]}.{keys[1]}]"),
    st.just("# comment = 1"),
)


@given(st.lists(LINE, max_size=12).map("\n".join))
def test_random_documents_have_the_paths_that_tomllib_reads(text):
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = key_lines(text)
    assert set(lines) == set(paths(raw))
    for path, line in lines.items():
        if path and isinstance(path[-1], str):
            assert path[-1] in "\n".join(text.split("\n")[line - 1 :][:1])


@given(st.text(alphabet="ab=.[]{}\"'#\n ,\\", max_size=60))
def test_the_scanner_ends_on_what_is_not_toml(text):
    key_lines(text)


@pytest.mark.parametrize("text", ["", "\n", "a", "a =", "[", "[[", "a = [", 'a = "', "a = {"])
def test_cut_documents_do_no_harm(text):
    key_lines(text)
