"""Which mistake a wrong answer looks like: the mutants of our function that answer as it does.

The tests are run with our function in its place, so that they get to every call. At each call the
answer and the mutants are given copies of the same arguments, and a mutant stays in as long as it
says what the answer says: the same numbers and gradients, or an exception of the same type. What is
left when the answer differs from ours somewhere is what it looks like.

A function that is returned is asked the same questions. Calls inside a transform of PyTorch (vmap,
jvp, a dual level) are passed over: their values cannot be seen. Of a Triton kernel, a launch is a
call, and what the tensors hold after it is what it says.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad

from latentgeo.eval.audit.mutants import Mutant, mutated, of_reference
from latentgeo.eval.audit.references import split_reference
from latentgeo.eval.course.learn.blank import definition, is_kernel
from latentgeo.eval.course.learn.kinds import kind_of
from latentgeo.eval.course.learn.outcomes import Said, copied, difference, said, same
from latentgeo.eval.course.learn.seats import variant

CALLS, LAUNCHES = 40, 4  # of a function and of a kernel that are looked at
SECONDS = 2.0  # that one call may take
Called = Callable[..., Any]


@dataclass
class Likeness:
    """What is known of an answer to one function, and the mutants that have said the same."""

    answer: Called
    mutants: dict[Mutant, Called]
    calls: int
    differs: bool = False
    error: float = 0.0  # largest difference from ours, relative to ours
    busy: bool = False

    def kind(self) -> str:
        """Return the kind of most of the mutants that are left; nothing where none is."""
        kinds = Counter(map(kind_of, self.mutants)) if self.differs else Counter()
        return kinds.most_common(1)[0][0] if kinds else ""


def likeness(reference: str, answer: Called) -> Likeness:
    """Return the likeness of an answer before any call, with all mutants in."""
    _, name = split_reference(reference)
    found = {}
    for mutant in of_reference(reference, ()):
        node = next(one for one in mutated(mutant).body if getattr(one, "name", "") == name)
        found[mutant] = variant(reference, node)  # type: ignore[arg-type]
    kernel = is_kernel(definition(reference))
    return Likeness(answer, found, LAUNCHES if kernel else CALLS)


@dataclass(frozen=True)
class Watched:
    """Our function, whose calls are also made of the answer and of the mutants."""

    ours: Called
    answer: Called | None
    mutants: Mapping[Mutant, Called | None]  # None: it has raised where it should return a function
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
        kept = {}
        for mutant, function in self.mutants.items():
            if mutant in state.mutants:
                kept[mutant] = _asked(function, given)
                if not same(kept[mutant], got):
                    del state.mutants[mutant]
        result = self.ours(*arguments, **options)
        if not callable(result):
            return result
        functions = {mutant: one.function for mutant, one in kept.items()}
        return Watched(result, got.function, functions, state)


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
        return Watched(launcher(self.ours), answer, functions, self.state)


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
    return Watched(ours, state.answer, dict(state.mutants), state)


def _transforming() -> bool:
    return peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _asked(function: Called | None, given: tuple[tuple[Any, ...], dict[str, Any]]) -> Said:
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
        return Said(raised=type(error).__name__)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        torch.set_rng_state(state)


class Late(Exception):
    """A call took too long."""


def _late(*_: object) -> None:
    raise Late
