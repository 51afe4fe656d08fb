"""The README's lines of code a family, and how many all modules have."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

import resnet_jax

PACKAGE = Path(resnet_jax.__file__).parent
README = PACKAGE.parent / "README.md"
SKIPPED = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip


def code(source):
    """Its lines without blank ones, comments and docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {
        line
        for token in tokens
        if token.type not in SKIPPED
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[:1]
            if first and ast.get_docstring(node) is not None:
                lines -= set(range(first[0].lineno, first[0].end_lineno + 1))
    return len(lines)


def counted(place):
    """Lines of code of a file, or of one class in it: `models/units/gate.py:SE`."""
    name, _, inside = place.partition(":")
    source = (PACKAGE / name).read_text()
    if not inside:
        return code(source)
    names = {getattr(node, "name", ""): node for node in ast.parse(source).body}
    node = names[inside]
    start = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return code("\n".join(source.splitlines()[start - 1 : node.end_lineno]) + "\n")


def families():
    """(family, places, lines) of every row of the README's table."""
    table = README.read_text().split("<!-- lines of code -->")[1]
    rows = re.findall(r"^\| ([^|]+) \| (`[^|]+`) \| (\d+) \|$", table, re.MULTILINE)
    return [(name, re.findall(r"`([^`]+)`", at), int(n)) for name, at, n in rows]


@pytest.mark.parametrize("family, places, lines", families(), ids=lambda x: str(x)[:20])
def test_a_family_has_the_lines_of_the_readme(family, places, lines):
    assert sum(map(counted, places)) == lines, family


def test_layers_units_and_nets_stay_small():
    """All lines, blank ones and docstrings too."""
    rooms = ("layers", "units", "nets")
    files = [
        path for room in rooms for path in (PACKAGE / "models" / room).glob("*.py")
    ]
    assert sum(len(path.read_text().splitlines()) for path in files) < 3300


def test_lines_are_those_with_code():
    source = '"""Doc."""\n\nx = """a\nb"""  # c\n# d\ndef f():\n    "Doc."\n    y = 1\n'
    assert code(source) == 4
