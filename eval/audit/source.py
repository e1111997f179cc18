"""Python source for a page: without its docstring first, coloured, its lines numbered."""

from __future__ import annotations

import ast
import io
import keyword
import textwrap
import tokenize
from html import escape

from latentgeo.eval.audit.symbols import of_name

SHOWN = 5  # lines of a body that are seen at first


def names_in(text: str) -> set[str]:
    """Return the names that a definition's source uses."""
    tree = ast.parse(textwrap.dedent(text))
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return named | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def essence(text: str) -> list[int]:
    """Return the lines, from 0, of a definition's body without its docstring, at most `SHOWN`.

    A class without code of its own has none.
    """
    (node,) = ast.parse(textwrap.dedent(text)).body
    body = node.body if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        body = body[1:]
    if not body:
        return []
    start, end = body[0].lineno - 1, body[-1].end_lineno or body[-1].lineno
    return list(range(start, min(end, start + SHOWN)))


def numbered(text: str, first: int, lines: list[int] | None, colours: dict[str, int]) -> str:
    """Return some lines of a source, or all, as HTML; `first` is the number of its first."""
    found = coloured(text, colours).split("\n")
    wanted = range(len(found)) if lines is None else lines
    width = len(str(first + len(found)))
    plain = [line for i in wanted if (line := found[i]).strip()]
    indent = min((len(line) - len(line.lstrip()) for line in plain), default=0)
    rows = (f'<span class="n">{first + i:>{width}}</span>  {found[i][indent:]}' for i in wanted)
    cut = lines is not None and lines and lines[-1] + 1 < len(found)
    return "\n".join(rows) + ("\n" + " " * (width + 2) + "…" if cut else "")


def coloured(text: str, colours: dict[str, int]) -> str:
    """Return Python source with its keywords, strings, comments and shared symbols marked."""
    lines = text.splitlines(keepends=True)
    parts, row, column = [], 1, 0
    indent = len(text) - len(text.lstrip())
    dedented = "".join(line[indent:] if line.strip() else line for line in lines)
    for token in tokenize.generate_tokens(io.StringIO(dedented).readline):
        mark = _mark(token, colours)
        if not mark:
            continue
        (start, left), (end, right) = token.start, token.end
        parts.append(escape(_between(lines, row, column, start, left + indent), quote=False))
        piece = escape(_between(lines, start, left + indent, end, right + indent), quote=False)
        parts.append("\n".join(f'<span class="{mark}">{line}</span>' for line in piece.split("\n")))
        row, column = end, right + indent
    return "".join(parts) + escape(_between(lines, row, column, len(lines) + 1, 0), quote=False)


def _mark(token: tokenize.TokenInfo, colours: dict[str, int]) -> str:
    if token.type == tokenize.COMMENT:
        return "c"
    if token.type == tokenize.STRING:
        return "s"
    if token.type != tokenize.NAME:
        return ""
    if keyword.iskeyword(token.string):
        return "k"
    colour = of_name(token.string, colours)
    return f"y{colour}" if colour else ""


def _between(lines: list[str], row: int, column: int, end: int, right: int) -> str:
    """Return the text from a row (from 1) and column to another."""
    if row == end:
        return lines[row - 1][column:right]
    last = lines[end - 1][:right] if end <= len(lines) else ""
    return (
        lines[row - 1][column:] + "".join(lines[row : end - 1]) + last if row <= len(lines) else ""
    )
