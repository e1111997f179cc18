"""Single changes to the functions that the ledger names: what a test of an equation should notice.

Changed are operators, comparisons, exponents, numbers, roots and squares, the order of arguments,
conditions, signs, `.detach()`, and a time t for its neighbour. Left alone is what is no
mathematics: docstrings, annotations, decorators, messages and progress bars, a check that raises,
written out or called (`check_times(…)`, a configuration's `__post_init__`), and
what draws a picture, known by its `Canvas`. Of a class, its methods are changed. The arguments of a
symmetric function, as `max`, are not exchanged, nor what makes a seed.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from latentgeo.eval.audit import ledger
from latentgeo.eval.audit.ledger import Row
from latentgeo.eval.audit.references import behind as behind_row
from latentgeo.eval.audit.references import locate, split_reference

DROPPED = ("sqrt", "square", "detach", "abs", "exp", "log")  # x.sqrt() and torch.sqrt(x) become x
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
NEIGHBOURS = ("_prev", "_next")  # t and t_prev, bar and bar_prev
SYMMETRIC = (
    *("max", "min", "maximum", "minimum", "promote_types", "cosine_similarity", "_inner"),
    *("mse_loss", "simple_loss", "mse", "psnr", "ssim", "lpips", "distance", "w2", "squared_w2"),
)
SEEDING = ("generator", "mix")  # another order is another seed
CHECKS = ("check", "_check")  # how functions begin that return nothing, but may raise
MESSAGES = ("progress", "warn", "print")
NOT_MATHEMATICS = ("__post_init__", "following")  # checks; what to type next


@dataclass(frozen=True)
class Mutant:
    """One change, and the tests that should notice it."""

    file: str  # core/ddim.py
    function: str  # step, or Class.method
    line: int
    before: str  # 1 - bar
    after: str  # 1 + bar
    place: int  # of the changed node, in the order of `ast.walk` over the file
    choice: int  # which of the node's changes
    tests: tuple[str, ...]

    @property
    def key(self) -> str:
        """What it is, whatever its line."""
        return f"{self.file}:{self.function}: {self.before} -> {self.after}"

    def __str__(self) -> str:
        """As `core/ddim.py:29 sigma: 1 - bar -> 1 + bar`."""
        return f"{self.file}:{self.line} {self.function}: {self.before} -> {self.after}"


def mutants(ledger: Iterable[Row]) -> list[Mutant]:
    """Return every mutant of every function that a row names, with the tests behind those rows."""
    tests: dict[str, set[str]] = {}
    for row in ledger:
        for reference in row.code:
            tests.setdefault(reference, set()).update(behind_row(row))
    found: dict[tuple[str, int, int], Mutant] = {}
    for reference, behind in sorted(tests.items()):
        for mutant in of_reference(reference, tuple(sorted(behind))):
            found.setdefault((mutant.file, mutant.place, mutant.choice), mutant)
    return list(found.values())


def sample(found: Iterable[Mutant], count: int, seed: int) -> list[Mutant]:
    """Return `count` of the mutants, or all, drawn so that one's chance is its own affair.

    A mutant is drawn or not by the hash of what it is: a change of other code leaves it in the draw
    of its seed, and a survivor that a new test kills is met again.
    """
    ordered = sorted(found, key=lambda mutant: sha256(f"{seed} {mutant.key}".encode()).digest())
    return ordered[:count]


def of_reference(reference: str, tests: tuple[str, ...]) -> Iterator[Mutant]:
    """Yield the mutants of one function or class, with these tests."""
    file, name = split_reference(reference)
    _, place = locate(reference)
    order = {node: index for index, node in enumerate(ast.walk(_tree(file)))}
    for function, node in _functions(_tree(file), place.line, name):
        kinds = _kinds(node)
        for inner, around in _mathematics(node, node):
            for choice, changed in enumerate(changes(inner, kinds)):
                line = getattr(inner, "lineno", place.line)
                shown = ast.unparse(around), ast.unparse(replaced(around, inner, changed))
                yield Mutant(file, function, line, *shown, order[inner], choice, tests)


def edits(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, int, ast.AST]]:
    """Yield every change of a function: the node, which of its changes, the function with it."""
    kinds = _kinds(function)
    for inner, _ in _mathematics(function, function):
        for choice, change in enumerate(changes(inner, kinds)):
            yield inner, choice, replaced(function, inner, change)


def replaced(around: ast.AST, inner: ast.AST, change: ast.expr) -> ast.AST:
    """Return a copy of an expression in which a part of it is changed."""
    place = list(ast.walk(around)).index(inner)
    whole = copy.deepcopy(around)
    return _Replace(list(ast.walk(whole))[place], change).visit(whole)


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse((ledger.ROOT / file).read_text(encoding="utf-8"))


def _functions(tree: ast.Module, line: int, name: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield the function that begins at a line, or the methods of the class that does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.lineno == line and _computes(node):
            yield name, node
        elif isinstance(node, ast.ClassDef) and node.lineno == line:
            for child in node.body:
                if isinstance(child, ast.FunctionDef) and _computes(child):
                    yield f"{name}.{child.name}", child


def _computes(function: ast.FunctionDef) -> bool:
    """Whether a function is neither a check nor a command's run, and is given no canvas."""
    named = function.name.startswith(CHECKS) or function.name in NOT_MATHEMATICS
    return not named and "Canvas" not in _kinds(function).values()


def _mathematics(node: ast.AST, around: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield the nodes below a function that compute something, with what they are shown in.

    A number or a name is shown in the expression around it, anything else by itself.
    """
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_talk(child):
                leaf = isinstance(child, ast.Constant | ast.Name)
                shown = around if leaf and isinstance(around, ast.expr) else child
                yield child, shown
                inside = isinstance(child, ast.keyword)  # f(min=1) is shown whole
                yield from _mathematics(child, around if inside else child)


def _is_talk(node: ast.AST) -> bool:
    """Whether a node is a docstring, a message, or a check that does nothing but raise."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if _is_check(node) or _called(node) in MESSAGES:
        return True
    if isinstance(node, ast.If) and all(map(_is_check, node.body)):
        return not node.orelse
    return isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr)


def _is_check(node: ast.AST) -> bool:
    """Whether a line may raise and does nothing else."""
    checks = isinstance(node, ast.Expr) and _called(node.value).startswith(CHECKS)
    return checks or isinstance(node, ast.Raise)


def _called(node: ast.AST) -> str:
    """Return `f` of a call f(…) or x.f(…), and nothing of anything else."""
    if not isinstance(node, ast.Call):
        return ""
    return ast.unparse(node.func).rpartition(".")[2]


def _kinds(function: ast.AST) -> dict[str, str]:
    """Return the variables of a function and, of its arguments, their annotations."""
    kinds = {node.id: "" for node in ast.walk(function) if isinstance(node, ast.Name)}
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            kinds[node.arg] = ast.unparse(node.annotation) if node.annotation else ""
    return kinds


def changes(node: ast.AST, kinds: dict[str, str]) -> Iterator[ast.expr]:
    """Yield what may stand in a node's place, one change each; `kinds` are as in `_kinds`."""
    match node:
        case ast.BinOp(op=ast.MatMult()):
            yield ast.BinOp(node.right, node.op, node.left)
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
        case ast.Compare(ops=[only]) if type(only) in COMPARISONS:
            yield ast.Compare(node.left, [COMPARISONS[type(only)]()], node.comparators)
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield node.operand
        case ast.IfExp():
            yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            yield ast.Constant(number + 1)
            yield ast.Constant(number - 1)
        case ast.Name(id=name, ctx=ast.Load()):
            yield from (ast.Name(other) for other in _neighbours(name) if other in kinds)
        case ast.Call():
            yield from _calls(node, kinds)
        case ast.BoolOp():
            yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)


def _neighbours(name: str) -> Iterator[str]:
    for suffix in NEIGHBOURS:
        yield name.removesuffix(suffix) if name.endswith(suffix) else name + suffix


def _calls(node: ast.Call, kinds: dict[str, str]) -> Iterator[ast.expr]:
    """Yield a call without its root or square, and with its first two arguments exchanged."""
    if isinstance(node.func, ast.Attribute) and node.func.attr in DROPPED:
        if node.args:  # torch.sqrt(x)
            yield node.args[0]
        elif not node.keywords:  # x.sqrt()
            yield node.func.value
    match node.args:
        case [first, second, *rest] if _ordered(node) and _exchangeable(first, second, kinds):
            yield ast.Call(node.func, [second, first, *rest], node.keywords)


def _ordered(call: ast.Call) -> bool:
    """Whether it matters to a function which of its arguments comes first."""
    return _called(call) not in (*SYMMETRIC, *SEEDING, "transpose")


def _exchangeable(first: ast.expr, second: ast.expr, kinds: dict[str, str]) -> bool:
    """Whether two arguments differ, and not in their kind, which any test would notice."""
    if ast.dump(first) == ast.dump(second):
        return False
    if any(isinstance(each, ast.Starred) for each in (first, second)):
        return False
    known = [kinds.get(each.id, "") for each in (first, second) if isinstance(each, ast.Name)]
    return len(known) < 2 or known[0] == known[1] or "" in known


def mutated(mutant: Mutant) -> ast.Module:
    """Return the syntax tree of the mutant's file with its change made."""
    tree = copy.deepcopy(_tree(mutant.file))
    function = dict(_all_functions(tree))[mutant.function]
    target = next(node for i, node in enumerate(ast.walk(tree)) if i == mutant.place)
    change = list(changes(target, _kinds(function)))[mutant.choice]
    changed = _Replace(target, change).visit(tree)
    assert isinstance(changed, ast.Module)
    return ast.fix_missing_locations(changed)


def unchanged(mutant: Mutant) -> ast.Module:
    """Return the syntax tree of the mutant's file as it is."""
    return _tree(mutant.file)


def _all_functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, ast.FunctionDef):
                    yield f"{node.name}.{child.name}", child


class _Replace(ast.NodeTransformer):
    """Puts one node in the place of another."""

    def __init__(self, target: ast.AST, change: ast.expr) -> None:
        self.target = target
        self.change = change

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.target:
            return ast.copy_location(self.change, node)
        return super().visit(node)
