"""What kind of mistake a mutant is, in words for who made it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from latentgeo.eval.audit.mutants import DROPPED, Mutant
from latentgeo.eval.course.learn.blank import tree_of

MISSING = {
    "sqrt": "a missing root",
    "square": "a missing square",
    "detach": "a gradient that should stop",
    "abs": "a missing absolute value",
    "exp": "a missing exponential",
    "log": "a missing logarithm",
}
KINDS = {  # of a changed node, by its type and its operator's
    ast.Add: "a sign",
    ast.Sub: "a sign",
    ast.USub: "a sign",
    ast.Mult: "a factor that divides, or the reverse",
    ast.Div: "a factor that divides, or the reverse",
    ast.FloorDiv: "a factor that divides, or the reverse",
    ast.Pow: "an exponent",
    ast.MatMult: "the order of a product",
    ast.Not: "a condition",
    ast.IfExp: "a condition",
    ast.Compare: "a comparison",
    ast.BoolOp: "and in the place of or",
    ast.Name: "a time, one step off",
    ast.Call: "the order of arguments",
}
OF_DIMENSIONS = (  # methods whose numbers are dimensions of a tensor
    *("sum", "mean", "std", "var", "amax", "amin", "norm", "softmax", "flatten", "unflatten"),
    *("unsqueeze", "squeeze", "argmax", "argmin", "argsort", "cumsum", "cumprod", "chunk"),
    *("transpose", "cat", "stack", "diff", "expand", "gather", "size"),
)


def kind_of(mutant: Mutant) -> str:
    """Return the kind of mistake, such as `a missing root`."""
    tree = tree_of(mutant.file)
    target = next(node for i, node in enumerate(ast.walk(tree)) if i == mutant.place)
    return kind_in(tree, target, mutant.choice)


def undone(kind: str) -> str:
    """Return the kind of a mistake that its change puts right: `a root too many`."""
    if kind == MISSING["detach"]:
        return "a gradient that should not stop"
    begin, missing, what = kind.partition("missing ")
    return f"{begin}{what} too many" if missing else kind


def kind_in(tree: ast.AST, target: ast.AST, choice: int) -> str:
    """Return the kind of a change of a node in a tree, one of `mutants.changes`."""
    match target:
        case ast.Constant():
            return _of_number(list(_around(tree, target)))
        case ast.BinOp() | ast.UnaryOp():
            return KINDS[type(target.op)]
        case ast.Call(func=ast.Attribute(attr=name)) if name in DROPPED and choice == 0:
            return MISSING[name]
    return KINDS[type(target)]


def _of_number(around: list[ast.AST]) -> str:
    """Return what a number is, from the nodes around it, the nearest first."""
    node = around[0]
    if isinstance(node, ast.UnaryOp):  # the 1 of -1
        node, around = around[1], around[1:]
    if isinstance(node, ast.keyword):
        return "a dimension" if node.arg in ("dim", "axis") else "a number"
    if isinstance(node, ast.BinOp):
        return "an exponent" if isinstance(node.op, ast.Pow) else "a number"
    if any(isinstance(one, ast.Subscript | ast.Slice) for one in around[:2]):
        return "an index"
    call = next((one for one in around[:2] if isinstance(one, ast.Call)), None)
    if call is not None and isinstance(call.func, ast.Attribute):
        return "a dimension" if call.func.attr in OF_DIMENSIONS else "a number"
    return "a number"


def _around(tree: ast.AST, target: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that a node stands in, the nearest first."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    while target in parents:
        target = parents[target]
        yield target
