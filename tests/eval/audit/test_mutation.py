"""Mutants are tried in processes of their own, and the checkout stays as it is."""

import subprocess
import sys
import tomllib

from latentgeo.eval.audit.ledger import ROOT, rows
from latentgeo.eval.audit.mutants import mutants
from latentgeo.eval.audit.mutation import EQUIVALENT, equivalents, importers

MOST_EQUIVALENT = 75  # of 2,700 mutants
CODE = """
from dataclasses import replace
from latentgeo.eval.audit import mutation as audit_mutation
from latentgeo.eval.audit.ledger import Row
from latentgeo.eval.audit.mutants import mutants
density = "tests/core/test_guidance.py::test_guidance_is_the_score_of_a_sharpened_density"
guide = ("core/guidance.py:guide",)
found = mutants([Row("CFG Eq. 6", "", "x", "", "verbatim", "", guide, (density,))])
noticed = next(mutant for mutant in found if mutant.after.startswith("w * eps_cond -"))
listed = next(mutant for mutant in found if mutant.after == "w / eps_cond")
audit_mutation.equivalents = lambda: {listed.key: "a reason"}
endless = replace(noticed, line=0)
elsewhere = "tests/core/test_anid.py::test_published_order_of_nine_frames"
missed = replace(noticed, tests=(elsewhere,))
tried = audit_mutation.mutated
def loop(mutant):
    tree = tried(mutant)
    if mutant.line == 0:
        import ast
        tree.body.append(ast.parse("while True: pass").body[0])
        ast.fix_missing_locations(tree)
    return tree
audit_mutation.mutated = loop
forked = audit_mutation._forked
limits = iter([600, 600, 600, 2])  # the tests as they are, noticed, missed, endless
audit_mutation._forked = lambda work, limit: forked(work, next(limits))
for verdict in audit_mutation.judge([noticed, listed, missed, endless]):
    print(verdict.status)
"""


def test_mutants_are_killed_listed_or_stopped():
    """In a process of its own, because it forks, and nothing else may run where it does."""
    source = ROOT / "core" / "guidance.py"
    before = source.read_bytes(), source.stat().st_mtime_ns
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["killed", "equivalent", "survived", "timeout"], done.stderr
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before


def test_what_imports_a_module_is_loaded_again_with_it():
    found = importers("latentgeo.core.ddim")
    assert {"latentgeo.core.ddim", "latentgeo.infer.sampling.sample"} <= found
    assert "latentgeo.core.schedule" not in found  # which it imports itself


def test_equivalent_mutants_are_few_known_and_explained():
    found = equivalents()
    known = {mutant.key for mutant in mutants(rows())}
    assert not set(found) - known, "no such mutant: remove it from the list"
    assert len(found) <= MOST_EQUIVALENT and all(found.values())
    listed = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    assert len(listed) == len(found), "a mutant is listed twice"
