"""What an answer may be written with: mathematics, and nothing that reaches around it.

An answer runs in the process that judges it. What could turn the judge is refused before it runs:
modules that see more than numbers, names that make code out of text or look behind objects, and
assignments to what belongs to others. This keeps mistakes and easy tricks out; it is no proof
against an attack, which a reader of the file sees at a glance.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

MODULES = (  # with all that is below them
    *("__future__", "collections", "dataclasses", "functools", "itertools", "math", "typing"),
    *("numpy", "scipy", "torch", "triton", "latentgeo"),
)
NOT = ("latentgeo.eval", "latentgeo.core.run", "torch.testing", "torch.utils", "numpy.ctypeslib")
NAMES = (
    *("__import__", "__builtins__", "eval", "exec", "compile", "open", "input", "breakpoint"),
    *("globals", "locals", "vars", "getattr", "setattr", "delattr", "exit", "quit"),
)


def parsed(text: str, path: str) -> ast.Module:
    """Return the syntax tree of an answer; ValueError names the line of what it may not have."""
    try:
        tree = ast.parse(text, path)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        raise ValueError(f"{path}:{line}: {getattr(error, 'msg', error)}") from None
    for line, what in sorted(_refused(tree)):
        raise ValueError(f"{path}:{line}: got {what}, wanted mathematics alone")
    return tree


def _refused(tree: ast.Module) -> Iterator[tuple[int, str]]:
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            yield from _imports(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in NAMES:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            changes = not isinstance(node.ctx, ast.Load)
            if node.attr.startswith("__") or (changes and _root(node) in imported):
                yield node.lineno, ast.unparse(node)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str]]:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        name = ".".join(filter(None, [module, alias.name]))
        inside = any(f"{name}.".startswith(f"{one}.") for one in MODULES)
        if not inside or any(f"{name}.".startswith(f"{one}.") for one in NOT):
            yield node.lineno, f"import of {name}"


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
