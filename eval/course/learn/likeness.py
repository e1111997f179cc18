"""Which mistake a wrong answer looks like: a change that makes ours as wrong, or it right.

The tests are run with our function in its place, so that they get to every call. At each call the
answer, the mutants of ours and the repairs of the answer are given copies of the same arguments. A
mutant stays in as long as it says what the answer says, a repair as long as it says what ours does:
the same numbers and gradients, or the same exception. What is left when the answer
differs from ours somewhere is what it looks like. Mutants know mistakes in the form that our code
has; repairs, single changes of the answer and roots put in, know those of other forms, and a line.

A function that is returned is asked the same questions. Calls inside a transform of PyTorch (vmap,
jvp, a dual level) are passed over: their values cannot be seen. Of a Triton kernel, a launch is a
call, what the tensors hold after it is what it says, and there are no repairs.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad

from latentgeo.eval.audit.mutants import Mutant, edits, mutated, of_reference, replaced
from latentgeo.eval.audit.references import split_reference
from latentgeo.eval.course.learn.blank import definition, is_kernel
from latentgeo.eval.course.learn.kinds import MISSING, kind_in, kind_of, undone
from latentgeo.eval.course.learn.outcomes import Said, copied, difference, raised, said, same
from latentgeo.eval.course.learn.seats import made, variant

CALLS, LAUNCHES = 40, 16  # of a function and of a kernel that are looked at
SECONDS = 2.0  # that one call may take
Called = Callable[..., Any]
Given = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Repair:
    """A change of an answer."""

    line: int
    kind: str  # of the mistake that it puts right
    number: int  # among the answer's


@dataclass
class Likeness:
    """What is known of an answer to one function, the mutants and the repairs that are left."""

    answer: Called
    mutants: dict[Mutant, Called]
    calls: int
    repairs: dict[Repair, Called] = field(default_factory=dict)
    differs: bool = False
    error: float = 0.0  # largest difference from ours, relative to ours
    busy: bool = False

    def kind(self) -> str:
        """Return the kind of most mutants that are left, or else repairs; nothing of neither."""
        kinds = Counter(map(kind_of, self.mutants)) or Counter(one.kind for one in self.repairs)
        return kinds.most_common(1)[0][0] if kinds and self.differs else ""

    def lines(self) -> list[int]:
        """Return the lines in which a change of that kind, or else of any, makes it right."""
        same_kind = [one.line for one in self.repairs if one.kind == self.kind()]
        found = same_kind or [one.line for one in self.repairs]
        return sorted(set(found)) if self.differs else []


def repairs(node: ast.FunctionDef, names: Mapping[str, Any]) -> dict[Repair, Called]:
    """Return an answer's repairs, among the names of its module."""
    found = [
        (inner, undone(kind_in(node, inner, choice)), changed)
        for inner, choice, changed in edits(node)
    ]
    found += [
        (inner, MISSING["sqrt"], replaced(node, inner, rooted(inner)))
        for inner in ast.walk(node)
        if isinstance(inner, ast.BinOp | ast.Call)
    ]
    made_of = {}
    for number, (inner, kind, changed) in enumerate(found):
        line = getattr(inner, "lineno", node.lineno)
        with contextlib.suppress(Exception):  # a default that cannot be computed any more
            made_of[Repair(line, kind, number)] = made(ast.fix_missing_locations(changed), names)
    return made_of


def rooted(node: ast.expr) -> ast.expr:
    """Return the root of an expression."""
    return ast.Call(ast.Attribute(copy.deepcopy(node), "sqrt", ast.Load()), [], [])


def likeness(
    reference: str, answer: Called, tree: ast.Module, names: Mapping[str, Any]
) -> Likeness:
    """Return the likeness of an answer before any call, with all mutants and repairs in.

    `tree` is its file and `names` those of its module.
    """
    _, name = split_reference(reference)
    found = {}
    for mutant in of_reference(reference, ()):
        node = next(one for one in mutated(mutant).body if getattr(one, "name", "") == name)
        found[mutant] = variant(reference, node)
    if is_kernel(definition(reference)):
        return Likeness(answer, found, LAUNCHES)
    own = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == name]
    return Likeness(answer, found, CALLS, repairs(own[-1], names) if own else {})


@dataclass(frozen=True)
class Watched:
    """Our function, whose calls are also made of the answer and of the mutants."""

    ours: Called
    answer: Called | None
    mutants: Mapping[Mutant, Called | None]  # None: it has raised where it should return a function
    repairs: Mapping[Repair, Called | None]
    state: Likeness

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return what ours does."""
        state = self.state
        if state.busy or state.calls <= 0 or _transforming():
            return self.ours(*arguments, **options)
        state.busy, state.calls = True, state.calls - 1
        try:
            return self._compared(arguments, options)
        finally:
            state.busy = False

    def _compared(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        state, given = self.state, (arguments, options)
        wanted, got = _asked(self.ours, given), _asked(self.answer, given)
        if not same(wanted, got):
            state.differs = True
            state.error = max(state.error, difference(wanted, got))
        mutants = _left(self.mutants, state.mutants, given, got)
        repairs = _left(self.repairs, state.repairs, given, wanted)
        result = self.ours(*arguments, **options)
        return (
            Watched(result, got.function, mutants, repairs, state) if callable(result) else result
        )


def _left(
    functions: Mapping[Any, Called | None], left: dict[Any, Called], given: Given, wanted: Said
) -> dict[Any, Called | None]:
    """Take those out of `left` that do not say what is wanted; return what each has returned."""
    found = {key: _asked(function, given) for key, function in functions.items() if key in left}
    for key, one in found.items():
        if not same(one, wanted):
            del left[key]
    return {key: one.function for key, one in found.items()}


@dataclass(frozen=True)
class WatchedKernel:
    """Our kernel, whose launches are also made of the answer and of the mutants."""

    ours: Any
    state: Likeness

    def __getitem__(self, grid: Any) -> Called:
        """Return what launches ours on a grid."""

        def launcher(kernel: Any) -> Called:
            def launch(*arguments: Any, **options: Any) -> Sequence[Any]:
                kernel[grid](*arguments, **options)
                return [one for one in arguments if isinstance(one, Tensor)]

            return launch

        functions = {mutant: launcher(one) for mutant, one in self.state.mutants.items()}
        answer = launcher(self.state.answer)
        return Watched(launcher(self.ours), answer, functions, {}, self.state)


class Enough:
    """A pytest plugin that ends the tests when all calls that are looked at were made."""

    def __init__(self, states: Sequence[Likeness]) -> None:
        self.states = states

    def pytest_runtest_teardown(self, item: Any) -> None:
        """Let a test be the last."""
        if all(state.calls <= 0 for state in self.states):
            item.session.shouldstop = "enough was seen"


def watched(ours: Any, state: Likeness, reference: str) -> Any:
    """Return what sits in a function's place while its calls are compared."""
    if is_kernel(definition(reference)):
        return WatchedKernel(ours, state)
    return Watched(ours, state.answer, dict(state.mutants), dict(state.repairs), state)


def _transforming() -> bool:
    return peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _asked(function: Called | None, given: Given) -> Said:
    """Return what a function says to copies of arguments; the random state is as it was."""
    if function is None:
        return Said(raised="nothing")
    arguments, options = copied(given)
    state = torch.get_rng_state()
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return said(function(*arguments, **options))
    except Exception as error:
        return Said(raised=raised(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        torch.set_rng_state(state)


class Late(Exception):
    """A call took too long."""


def _late(*_: object) -> None:
    raise Late
