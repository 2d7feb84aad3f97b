"""What no module of Relay may do, since strangers' text would be read by it (docs/ARCHITECTURE.md, I11)."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(ROOT.glob("relay/**/*.py"))
COMPILED = sorted(ROOT.glob("relay/**/*.pyx"))
CHARSETS = "relay/mail/charsets.py"
"""The only module that hands the name of a codec on, from a table of its own."""
MODULES = {"email", "quopri", "codecs", "encodings", "html.parser", "uu", "mailbox"}
"""The standard library's readers of mail, and the registry of codecs."""


def faults(tree: ast.AST) -> list[str]:
    """What ``tree``, a module, does and must not: line and what it is."""
    found = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names if each.name != "codecs" or not uses_utf8_alone(tree)]
            found += [f"{line}: import {name}" for name in names if is_forbidden(name)]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]
            found += [f"{line}: from {node.module} import ..."] if any(map(is_forbidden, names)) else []
        elif isinstance(node, ast.Call):
            codec = codec_of(node)
            if codec is not None and not all(isinstance(each, ast.Constant) for each in choices(codec)):
                found.append(f"{line}: a codec by a name that is not written here")
            if called(node) == "unescape" and isinstance(node.func, ast.Attribute):
                found.append(f"{line}: html.unescape")
    return found


def uses_utf8_alone(tree: ast.AST) -> bool:
    """Whether all that is done with ``codecs`` is reading UTF-8 in pieces, and something is."""
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "codecs"]
    reads = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node) == UTF8_IN_PIECES]
    return bool(used) and len(used) == len(reads)


UTF8_IN_PIECES = "codecs.getincrementaldecoder('utf-8')"


def is_forbidden(name: str) -> bool:
    return any(name == each or name.startswith(each + ".") for each in MODULES)


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def codec_of(node: ast.Call) -> ast.expr | None:
    """The argument of a call that names a codec; None when there is none."""
    named = {each.arg: each.value for each in node.keywords}
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("decode", "encode"):
        if isinstance(node.func.value, ast.Name) and node.func.value.id in OURS:
            return None
        return node.args[0] if node.args else named.get("encoding")
    if called(node) in ("str", "bytes", "bytearray") and isinstance(node.func, ast.Name):
        return node.args[1] if len(node.args) > 1 else named.get("encoding")
    return None


OURS = ("charsets", "charset", "decoder", "encoded_words", "transfer", "idna", "self", "lexer", "uidlog")
"""Modules and objects with a ``decode`` that names no codec."""


def choices(codec: ast.expr) -> list[ast.expr]:
    """The values that an expression of one or two constants may have."""
    return [codec.body, codec.orelse] if isinstance(codec, ast.IfExp) else [codec]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reads_text_with_a_codec_that_a_stranger_could_name(path):
    if str(path.relative_to(ROOT)) != CHARSETS:
        assert faults(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_compiled_module_does(path):
    text = path.read_text()
    named = re.findall(r"\.(?:decode|encode)\(([^)]*)\)", text)
    assert [each for each in named if each and each[0] not in "\"'"] == []
    assert re.findall(r"^\s*c?import (?:email|codecs)\b|^\s*from (?:email|codecs)\b", text, re.MULTILINE) == []


@pytest.mark.parametrize(
    "text",
    [
        "import email.header",
        "from email.utils import getaddresses",
        "import codecs",
        "import codecs\ncodecs.getincrementaldecoder(charset)('strict')",
        "import codecs\ncodecs.getincrementaldecoder('utf-8')('strict')\ncodecs.lookup(charset)",
        "octets.decode(charset)",
        "octets.decode(encoding=label)",
        "octets.decode('ascii' if x else label)",
        "str(octets, label)",
        "html.unescape(text)",
        "from html import parser",
    ],
)
def test_the_check_itself_finds_them(text):
    assert faults(ast.parse(text))


@pytest.mark.parametrize(
    "text",
    ["octets.decode()", "octets.decode('utf-8', how)", "str(3)", "charsets.decode(octets, label)",
     "import html.entities",
     "import codecs\ncodecs.getincrementaldecoder('utf-8')('strict')", "text.encode('utf-8' if utf8 else 'ascii')"],
)  # fmt: skip
def test_the_check_itself_lets_our_own_readers_pass(text):
    assert faults(ast.parse(text)) == []
