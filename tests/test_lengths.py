"""No file and no function grows beyond what can be read at a sitting, compiled or not."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_FILE = 500
LONGEST_FUNCTION = 60
SOURCES = sorted(path for pattern in ("*.py", "*.pyx", "*.pxd") for path in ROOT.glob(f"relay/**/{pattern}"))
HEAD = re.compile(r"^( *)(?:async def|def|cdef|cpdef)\b(?! class\b)[^=#]*?\b(\w+)\(")


def functions(text):
    """(name, lines) of each function: from its head down to the last line that stands deeper than the head does. The
    head may go on over several lines; blank lines and comments behind the last line are not its own."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        head = HEAD.match(line)
        if head is None:
            continue
        depth = len(head[1])
        is_open = True
        last = at
        for number in range(at, len(lines)):
            stripped = lines[number].strip()
            indent = len(lines[number]) - len(lines[number].lstrip())
            if is_open:
                is_open = not re.search(r":(?: *#.*)?$", stripped) and not _ends_declaration(lines, at, number)
                last = number
            elif stripped and indent <= depth:
                break
            elif stripped and not stripped.startswith("#"):
                last = number
        yield head[2], last - at + 1


def _ends_declaration(lines, first, last):
    """Whether the lines from ``first`` to ``last`` are a C declaration without a body."""
    text = "\n".join(lines[first : last + 1])
    return text.count("(") == text.count(")") and not text.rstrip().endswith((":", ",", "("))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_and_its_functions_can_be_read_at_a_sitting(path):
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE
    assert {name: size for name, size in functions(text) if size > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def a(x):\n    return x\n\n\ndef b():\n    pass\n", [("a", 2), ("b", 2)]),
        ("def a(\n    x,\n    y,\n) -> int:\n    return x\n", [("a", 5)]),
        ("if A:\n    async def a():\n        x\n\n        y\n    # b\n    def b():\n        x\n", [("a", 4), ("b", 2)]),
        ("cdef class A(B):\n    cdef int a(self):\n        pass\n", [("a", 2)]),
        ("cdef int a(int x) except -1:\n    if x:\n        return 1\n    return 0\n", [("a", 4)]),
        ("cdef int a(int x) except -1\ncdef int b(\n    int x) noexcept\ncdef int c\n", [("a", 1), ("b", 2)]),
        ("cdef inline int a(\n        char* p,  # octets\n        int n) noexcept nogil:\n    return n\n", [("a", 4)]),
    ],
)  # fmt: skip
def test_lengths_are_those_of_the_functions(text, found):
    assert list(functions(text)) == found
