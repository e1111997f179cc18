"""Answers made of the package's own functions, whole, changed or gone, and what comes of them.

    python -m tests.eval.course.learn.answers reference       # all, as the package has them
    python -m tests.eval.course.learn.answers empty           # as `learn` writes them
    python -m tests.eval.course.learn.answers 200 --seed 0    # mutants, drawn by the seed

A mutant should fail, unless it can change no result, and its hint should name its kind.
"""

import argparse
import ast
import copy
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from latentgeo.eval.audit.mutants import Mutant, mutated, of_reference, sample
from latentgeo.eval.audit.mutation import equivalents
from latentgeo.eval.course.learn.bench import Bench, Checked
from latentgeo.eval.course.learn.blank import FUTURE, blank, definition, helpers, module_of
from latentgeo.eval.course.learn.exercises import Exercise, exercises, of_chapter
from latentgeo.eval.course.learn.kinds import kind_of


def written(exercise: Exercise, functions: dict[str, str]) -> str:
    """Return a chapter's file of answers in which these functions are written, by name."""
    text = blank(of_chapter(exercise.chapter))
    tree = ast.parse(text)
    lines = text.splitlines()
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name in functions:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            lines[first - 1 : node.end_lineno] = functions[node.name].splitlines()
    imports = [
        f"from {module_of(file)} import {', '.join(names)}"
        for file, names in helpers(exercise).items()
    ]
    return "\n".join(lines).replace(FUTURE, "\n".join([FUTURE, *imports]), 1) + "\n"


def here(exercise: Exercise) -> dict[str, str]:
    """Return an exercise's functions as the package has them."""
    return {
        node.name: unparsed(copy.deepcopy(node)) for node in map(definition, exercise.functions)
    }


def gone(exercise: Exercise) -> dict[str, str]:
    """Return an exercise's functions with bodies that raise, and are no blanks."""
    found = {}
    for reference in exercise.functions:
        node = copy.deepcopy(definition(reference))
        node.body = ast.parse("raise NotImplementedError('gone')").body
        found[node.name] = unparsed(node)
    return found


def changed(mutant: Mutant) -> str:
    """Return a mutant's function."""
    return unparsed(
        next(node for node in mutated(mutant).body if getattr(node, "name", "") == mutant.function)
    )


def unparsed(node: ast.AST) -> str:
    """Return a function's source with Triton's decorator alone."""
    node.decorator_list = [one for one in node.decorator_list if "jit" in ast.unparse(one)]
    return ast.unparse(node)


def all_mutants() -> Iterator[tuple[Exercise, Mutant]]:
    """Yield every mutant of every exercise's functions."""
    for exercise in exercises():
        for reference in exercise.functions:
            for mutant in of_reference(reference, ()):
                yield exercise, mutant


def check(bench: Bench, exercise: Exercise, functions: dict[str, str], **how: bool) -> Checked:
    """Return what comes of an exercise's file with these functions."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "exercise.py"
        path.write_text(written(exercise, functions), encoding="utf-8")
        return bench.check(exercise, path, **how)


def answer_of(exercise: Exercise, mutant: Mutant) -> dict[str, str]:
    """Return the package's functions, one of them changed."""
    return here(exercise) | {mutant.function: changed(mutant)}


def main() -> int:
    """Check answers; print each and the sum; return 1 where one is not as wanted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--seconds", type=int, default=60)
    words = parser.parse_args()
    with Bench(words.seconds, 4.0) as bench:
        if words.what.isdigit():
            return mutants(bench, int(words.what), words.seed, words.only)
        return each(bench, words.what, words.only)


def each(bench: Bench, what: str, only: list[str]) -> int:
    wanted = "right" if what == "reference" else "wrong"
    bad = 0
    for exercise in exercises():
        if only and exercise.key not in only and exercise.chapter not in only:
            continue
        start = time.monotonic()
        functions = here(exercise) if what == "reference" else gone(exercise)
        found = check(bench, exercise, functions, like=False)
        bad += found.status != wanted
        rows = "; ".join(
            f"{one.tag} {'right' if one.right else one.failed}" for one in found.equations
        )
        mark = "" if found.status == wanted else "  <<<<"
        print(
            f"{exercise.key:<20} {found.status} {time.monotonic() - start:5.1f} s{mark}", flush=True
        )
        if mark or found.lacking:
            print(f"    {found.why} {found.lacking} {rows} {[one.said for one in found.equations]}")
    print(f"{bad} not {wanted}")
    return int(bad > 0)


def mutants(bench: Bench, count: int, seed: int, only: list[str]) -> int:
    known = equivalents()
    exercise_of = {}
    for exercise, mutant in all_mutants():
        if mutant.key not in known and (not only or exercise.key in only):
            exercise_of[mutant] = exercise
    drawn = sample(exercise_of, count, seed)
    survived, named, wrong = [], 0, []
    for mutant in drawn:
        exercise, start = exercise_of[mutant], time.monotonic()
        found = check(bench, exercise, answer_of(exercise, mutant))
        kind = kind_of(mutant)
        if found.status == "right":
            survived.append(mutant)
        named += found.status != "right" and found.kind == kind
        if found.status != "right" and found.kind != kind:
            wrong.append(f"{mutant}: {kind}, said {found.kind or 'nothing'} {found.why}")
        seconds = time.monotonic() - start
        print(f"{found.status:<6} {seconds:5.1f} s {mutant} | {kind} | {found.kind}", flush=True)
    print("\nsurvived:", *survived, sep="\n  ")
    print("\nnot named:", *wrong, sep="\n  ")
    failed = len(drawn) - len(survived)
    print(f"{len(drawn)} of {len(exercise_of)} mutants, seed {seed}: {failed} fail, {named} named")
    return int(bool(survived) or named < 0.7 * failed)


if __name__ == "__main__":
    sys.exit(main())
