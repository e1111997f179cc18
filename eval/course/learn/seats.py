"""Answers in the places of our functions.

A module of ours is loaded anew with a seat for each function of an exercise: whatever has taken the
function, a table, a default, another module, calls what sits there. At first that is the function
itself. A Triton kernel has no seat, since it is not called but launched; the module's own name for
it is what its launchers read.

An answer is a whole file, run as a module of its own. What it has of other exercises is ours while
one exercise is checked, so that no exercise waits for another.
"""

from __future__ import annotations

import ast
import copy
import functools
import importlib
import itertools
import linecache
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from latentgeo.eval.audit.ledger import ROOT
from latentgeo.eval.audit.mutation import Substitute, forget, importers
from latentgeo.eval.audit.references import split_reference
from latentgeo.eval.course.learn.blank import FUTURE, definition, is_kernel, module_of, tree_of

SEAT = "__seat__"
NUMBERS = itertools.count()  # of variants, whose sources are told apart by them
ANSWERS = "exercise"  # the name of an answer's module
TESTS = ("tests.", "test_")  # how the modules of tests are named
Function = Callable[..., Any]


@dataclass
class Seats:
    """The functions of an exercise, by reference: ours, and who sits in their places."""

    ours: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    def take(self, reference: str, answer: Any) -> None:
        """Put an answer in a function's place."""
        self.answers[reference] = answer
        file, name = split_reference(reference)
        if is_kernel(definition(reference)):
            setattr(sys.modules[module_of(file)], name, answer)


def seated(references: Iterable[str]) -> Seats:
    """Load the modules of these functions anew, with a seat for each function."""
    seats, wanted = Seats(), tuple(references)
    files = dict.fromkeys(split_reference(one)[0] for one in wanted)
    stale = set().union(*(importers(module_of(file)) for file in files))
    for name in [name for name in sys.modules if name in stale or name.startswith(TESTS)]:
        forget(name)
    for file in files:
        own = {split_reference(one)[1]: one for one in wanted if split_reference(one)[0] == file}
        sys.meta_path.insert(0, _Seating(file, own, seats))
    for reference in wanted:
        file, name = split_reference(reference)
        module = importlib.import_module(module_of(file))
        if is_kernel(definition(reference)):
            seats.ours[reference] = getattr(module, name)
    return seats


class _Seating(Substitute):
    """Gives a module the source that it has, its functions with seats."""

    def __init__(self, file: str, own: Mapping[str, str], seats: Seats) -> None:
        tree = copy.deepcopy(tree_of(file))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in own and not is_kernel(node):
                node.decorator_list.append(ast.Name(SEAT, ast.Load()))
        super().__init__(module_of(file), ROOT / file, ast.fix_missing_locations(tree))
        self.own, self.seats = own, seats

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)[SEAT] = self._seat
        super().exec_module(module)

    def _seat(self, function: Function) -> Function:
        reference, seats = self.own[function.__name__], self.seats
        seats.ours[reference] = seats.answers[reference] = function

        @functools.wraps(function)
        def sitting(*arguments: Any, **options: Any) -> Any:
            return seats.answers[reference](*arguments, **options)

        return sitting


def answers_of(text: str, path: str, seats: Seats, others: Iterable[str]) -> dict[str, Any]:
    """Run a student's file and return its functions for the seats, by reference.

    `others` are functions of the chapter's other exercises, which are ours in it. A function that
    the file lacks is none of the result. Raises whatever the file raises.
    """
    module = types.ModuleType(ANSWERS)
    module.__file__ = path
    sys.modules[ANSWERS] = module
    _remember(path, text)
    exec(compile(text, path, "exec"), vars(module))
    for reference in others:
        file, name = split_reference(reference)
        setattr(module, name, getattr(importlib.import_module(module_of(file)), name))
    found = {one: vars(module).get(split_reference(one)[1]) for one in seats.ours}
    return {reference: answer for reference, answer in found.items() if answer is not None}


def variant(reference: str, node: ast.AST) -> Any:
    """Return a function made of a changed syntax tree, among the names of its own module."""
    file, _ = split_reference(reference)
    return made(node, vars(importlib.import_module(module_of(file))))


def made(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """Return a function made of a syntax tree, among these names; of its decorators, Triton's."""
    tree = copy.deepcopy(node)
    assert isinstance(tree, ast.FunctionDef)
    tree.decorator_list = [one for one in tree.decorator_list if ast.unparse(one) == "triton.jit"]
    text, path = f"{FUTURE}\n{ast.unparse(tree)}", f"<{tree.name} {next(NUMBERS)}>"
    _remember(path, text)
    found = dict(names)
    exec(compile(text, path, "exec"), found)
    return found[tree.name]


def _remember(path: str, text: str) -> None:
    """Have `inspect` find a source that is in no file, as Triton's interpreter wants."""
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
