"""The audit prints the ledger with verdicts and errors, writes its page, and fails loudly."""

import subprocess
import sys
from pathlib import Path

import pytest

from latentgeo.eval.audit import run as audit
from latentgeo.eval.audit.check import Outcome
from latentgeo.eval.audit.ledger import Row
from latentgeo.eval.audit.mutants import mutants
from latentgeo.eval.audit.mutation import Verdict
from latentgeo.eval.audit.references import locate
from latentgeo.eval.audit.run import text_table
from latentgeo.eval.audit.settings import Audit

STEP = "core/ddim.py:step"
TEST = "tests/core/test_ddim.py::test_steps_with_one_eps_compose"


def row(code=(STEP,), tests=(TEST,)):
    return Row("DDIM Eq. 12", "", "x = y", "", "verbatim", "", tuple(code), tuple(tests))


def test_a_row_is_printed_with_its_lines_outcome_and_error():
    text = text_table((row(),), {TEST: Outcome("passed", 1e-15)})
    assert f"core/ddim.py:{locate(STEP)[1].line} step" in text
    assert f"{locate(TEST)[1].line} test_steps_with_one_eps_compose passed" in text
    assert "row   passed, error 1.0e-15" in text
    assert "row " not in text_table((row(),), {})


def test_the_command_prints_writes_and_fails_loudly(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(audit, "rows", lambda paper: (row(),))
    audit.audit(Audit(html=tmp_path / "audit.html", paper="DDIM"))
    assert "1 rows: 1 verbatim" in capsys.readouterr().out
    assert "Denoising Diffusion Implicit" in (tmp_path / "audit.html").read_text(encoding="utf-8")
    monkeypatch.setattr(audit, "rows", lambda paper: (row(code=["core/ddim.py:stride"]),))
    with pytest.raises(RuntimeError, match="has no stride"):
        audit.audit(Audit())
    monkeypatch.setattr(audit, "rows", lambda paper: (row(),))
    monkeypatch.setattr(audit, "run_tests", lambda ledger: {TEST: Outcome("failed")})
    with pytest.raises(RuntimeError, match="compose failed"):
        audit.audit(Audit(check=True))
    assert "1 failed" in capsys.readouterr().out


def test_bibtex_is_all_that_is_printed(capsys):
    audit.audit(Audit(bibtex=True, paper="DDIM"))
    text = capsys.readouterr().out
    assert text.startswith("@misc{song2020ddim,") and text.count("@") == 1


def test_mutants_need_tests_and_a_number(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="mutate must be at least 0, got -1"):
        Audit(mutate=-1)
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="a checkout with its tests"):
        audit.audit(Audit(mutate=1))


def test_a_survivor_is_a_failure(monkeypatch, capsys):
    drawn = []

    def verdicts(chosen, tell):
        drawn.append(chosen)
        found = [Verdict(mutant, "killed", 1.0) for mutant in chosen]
        found[0] = Verdict(chosen[0], status, 1.0)
        for verdict in found:
            tell(verdict)
        return found

    monkeypatch.setattr("latentgeo.eval.audit.mutation.judge", verdicts)
    monkeypatch.setattr(audit, "rows", lambda paper: (row(),))
    status = "killed"
    for command in (Audit(mutate=5), Audit(mutate=5), Audit(mutate=5, seed=1)):
        audit.audit(command)
    assert drawn[0] == drawn[1] != drawn[2]
    total = len(mutants((row(),)))
    assert f"5 of {total} mutants, seed 0: 5 killed; 1.0 s each" in capsys.readouterr().out
    status = "survived"
    with pytest.raises(RuntimeError, match="1 mutants survived"):
        audit.audit(Audit(mutate=5))
    assert "survived   core/ddim.py" in capsys.readouterr().out


def test_importing_the_audit_imports_no_torch():
    code = "import sys, latentgeo.eval.audit.run; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path("/"))
