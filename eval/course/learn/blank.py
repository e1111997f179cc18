"""The file that a student writes in: signatures and docstrings, without the bodies.

Kept are the checks at a body's beginning, which raise and compute nothing, the imports of what the
signatures and the body use, and names of the function's own file: public ones, and those that the
exercise gives.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import takewhile

from latentgeo.core.run.text import read_text
from latentgeo.eval.audit.ledger import ROOT
from latentgeo.eval.audit.references import split_reference
from latentgeo.eval.course.learn.exercises import Exercise

WIDTH = 100
FUTURE = "from __future__ import annotations"
Import = tuple[str, str]  # module, `name` or `name as other`; "" imports the module itself


@cache
def tree_of(file: str) -> ast.Module:
    """Return the syntax tree of one of our files."""
    return ast.parse(read_text(ROOT / file))


def definition(reference: str) -> ast.FunctionDef:
    """Return a top-level function; LookupError where there is none."""
    file, name = split_reference(reference)
    for node in tree_of(file).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise LookupError(f"{reference}: {file} has no function {name}")


def module_of(file: str) -> str:
    """Return the name of the module in one of our files."""
    return "latentgeo." + file.removesuffix(".py").replace("/", ".")


def blank(exercises: Sequence[Exercise]) -> str:
    """Return the text of `exercise.py` for the exercises of one chapter."""
    chapter = exercises[0].chapter
    head = f'"""Exercises of the chapter {chapter}: write the bodies, keep the signatures."""'
    parts = ["\n".join([head, "", FUTURE, "", *_imports(exercises)])]
    for exercise in exercises:
        first, *others = (_blanked(one, exercise.key) for one in exercise.functions)
        parts += [f"# Exercise {exercise.key}: {exercise.title}\n{first}", *others]
    return "\n\n\n".join(parts) + "\n"


def solution(exercise: Exercise) -> str:
    """Return the functions of an exercise as they are here, with the helpers that they use."""
    private = [
        f"{file}:{name}"
        for file, names in helpers(exercise).items()
        for name in names
        if name in {one.name for one in tree_of(file).body if isinstance(one, ast.FunctionDef)}
    ]
    return "\n\n\n".join(
        _source(one, definition(one), None) for one in [*exercise.functions, *private]
    )


def helpers(exercise: Exercise) -> dict[str, list[str]]:
    """Return the private names, by file, that the functions use and a blank does not give."""
    found: dict[str, set[str]] = {}
    for reference in exercise.functions:
        file, _ = split_reference(reference)
        private = {one for one in _used(definition(reference)) if one.startswith("_")}
        known = private & set().union(*map(_defined, tree_of(file).body))
        found.setdefault(file, set()).update(known - set(exercise.given))
    return {file: sorted(names) for file, names in found.items() if names}


def _blanked(reference: str, key: str) -> str:
    node = definition(reference)
    kept = node.body[: 1 + leading_checks(node)]
    return _source(reference, node, kept[-1].end_lineno) + (
        f'\n    raise NotImplementedError("exercise {key}")'
    )


def _source(reference: str, node: ast.FunctionDef, last: int | None) -> str:
    """Return a function's lines, with Triton's decorator, up to a line or the end."""
    text = read_text(ROOT / split_reference(reference)[0]).splitlines()
    lines = text[node.lineno - 1 : last or node.end_lineno]
    return "\n".join([*(["@triton.jit"] if is_kernel(node) else []), *lines])


def is_kernel(node: ast.FunctionDef) -> bool:
    """Whether a function is a Triton kernel."""
    return any(ast.unparse(one) == "triton.jit" for one in node.decorator_list)


def leading_checks(node: ast.FunctionDef) -> int:
    """Return how many statements behind the docstring only raise, or call what only raises."""
    return len(list(takewhile(_only_raises, node.body[1:])))


def _only_raises(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.If) and not statement.orelse:
        return all(isinstance(one, ast.Raise) for one in statement.body)
    called = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return called and ast.unparse(statement).startswith(("check", "_check"))


def _imports(exercises: Sequence[Exercise]) -> list[str]:
    """Return the lines of all imports that the blanks of a chapter need."""
    own = {name for exercise in exercises for name in exercise.names}
    found: dict[str, set[str]] = {}
    for exercise in exercises:
        for reference in exercise.functions:
            for module, name in needed(reference, exercise.given):
                found.setdefault(module, set()).update({name} - own)
    whole = {f"import {module} {name}".strip() for module, names in found.items()
             for name in names if not name or name.startswith("as ")}  # fmt: skip
    parts = {
        module: sorted(name for name in names if name and not name.startswith("as "))
        for module, names in sorted(found.items())
    }
    return [*sorted(whole), *(_line(module, names) for module, names in parts.items() if names)]


def _line(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def needed(reference: str, given: Iterable[str]) -> Iterator[Import]:
    """Yield the imports that a function's signature and body need, and what it is given."""
    file, _ = split_reference(reference)
    tree, node = tree_of(file), definition(reference)
    used = _used(node) | set(given)
    for one in tree.body:
        if isinstance(one, ast.Import):
            for alias in one.names:
                if (alias.asname or alias.name.partition(".")[0]) in used:
                    yield alias.name, f"as {alias.asname}" if alias.asname else ""
        elif isinstance(one, ast.ImportFrom) and one.module != "__future__":
            for alias in one.names:
                if (alias.asname or alias.name) in used:
                    as_ = f" as {alias.asname}" if alias.asname else ""
                    yield str(one.module), alias.name + as_
        else:
            for name in _defined(one) & used:
                if name != node.name and (name in given or not name.startswith("_")):
                    yield module_of(file), name


def _used(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _defined(node: ast.stmt) -> set[str]:
    """Return the names that a statement at the top of a file defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    return set().union(*map(_used, targets))
