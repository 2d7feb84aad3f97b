"""The layers of docs/ARCHITECTURE.md, for the compiled modules: import-linter reads .py files only."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = [re.findall(r"relay\.\w+", layer) for layer in CONTRACTS[0]["layers"]]
RANKS = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
IMPORT = re.compile(r"^\s*(?:from\s+(relay[\w.]*)\s+c?import|c?import\s+(relay[\w.]*))", re.MULTILINE)
SOURCES = sorted([*ROOT.glob("relay/**/*.pyx"), *ROOT.glob("relay/**/*.pxd"), *ROOT.glob("relay/**/*.pyi")])


def package_of(module):
    return ".".join(module.split(".")[:2])


def forbidden(package, text):
    """What ``text``, a module of ``package``, imports and must not."""
    found = [package_of(first or second) for first, second in IMPORT.findall(text)]
    return [
        other
        for other in found
        if other not in ("relay", package, "relay.telemetry") and RANKS[other] <= RANKS[package]
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_compiled_module_imports_only_what_is_below_it(path):
    package = package_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert forbidden(package, path.read_text()) == []


@pytest.mark.parametrize(
    ("package", "text", "found"),
    [
        ("relay.smtp", "from relay.workers import x\n", ["relay.workers"]),
        ("relay.queue", "  cimport relay.delivery._client\n", ["relay.delivery"]),
        ("relay.queue", "from relay.telemetry.cells cimport y\nfrom relay._fastparse cimport z\n", []),
        ("relay._fastparse", "import relay.mail.reply\n", ["relay.mail"]),
        ("relay._fastparse", "from relay._mime cimport scan\n", ["relay._mime"]),
        ("relay._mime", "from relay._fastparse cimport equals\nfrom relay.mail.address import x\n", ["relay.mail"]),
    ],
)
def test_the_check_itself_finds_imports_upwards_and_sideways(package, text, found):
    assert forbidden(package, text) == found


# ---- circles --------------------------------------------------------------------------------------------------------


def modules(root):
    """The files of each module below ``root``: a compiled one has its declarations (.pxd) beside its .py or .pyx."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for suffix in ("py", "pyx", "pxd") for path in root.glob(f"relay/**/*.{suffix}")):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        found.setdefault(name, []).append(path)
    return found


def imports_of(found):
    """Which modules of ``found`` each of them imports, in any of its files. A package's own __init__ gathers what is in
    it, and is no part of a circle by that."""
    graph = {}
    for name, paths in found.items():
        texts = [path.read_text() for path in paths if path.stem != "__init__"]
        others = {other for text in texts for other in imported(text, found)}
        graph[name] = sorted((others & found.keys()) - {name})
    return graph


FROM = re.compile(r"^ *(?:from\s+(relay[\w.]*)\s+c?import\s+(\([^)]*\)|[^\n]*)|c?import\s+(relay[\w.]*))", re.MULTILINE)


def imported(text, names):
    """The modules among ``names`` that ``text`` imports, wherever in it: what is put into a function, or is for types
    alone, makes a circle as well."""
    for package, what, module in FROM.findall(re.sub(r"#.*", "", text)):
        if module:
            yield module
            continue
        parts = [each.split(" as ")[0].strip() for each in what.strip("()").split(",")]
        below = [f"{package}.{part}" for part in parts if f"{package}.{part}" in names]
        yield from below
        if len(below) < len([part for part in parts if part]):
            yield package


def circles(graph):
    """The groups of modules that import one another, however long the way."""
    stack, found = [], []
    index: dict[str, int] = {}
    low: dict[str, int] = {}

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found)


def test_no_modules_import_one_another():
    assert circles(imports_of(modules(ROOT))) == []


@pytest.mark.parametrize("suffix", ["py", "pyx"])
def test_a_circle_is_found_where_one_side_has_a_pxd(tmp_path, suffix):
    """The .pxd used to take the place of the .py or .pyx beside it, and what that imports was not seen."""
    folder = tmp_path / "relay" / "x"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from relay.x.a import A\n")
    (folder / f"a.{suffix}").write_text("if TYPE_CHECKING:\n    from relay.x.b import B\n")
    (folder / "a.pxd").write_text("cdef class A:\n    cdef object b\n")
    (folder / "b.py").write_text("from relay.x import a\n")
    assert circles(imports_of(modules(tmp_path))) == [["relay.x.a", "relay.x.b"]]


def test_circles_are_found_however_long():
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [["a", "b", "c"]]
    assert circles({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    text = "from relay.x import y, z as w\nfrom relay.v import (\n    A,\n)\nimport relay.u\n  from relay.t import s\n"
    assert list(imported(text, {"relay.x.y"})) == ["relay.x.y", "relay.x", "relay.v", "relay.u", "relay.t"]
