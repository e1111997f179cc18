"""What is kept follows everything that a script depends on, and nothing else."""

import pytest

from latentgeo.eval.audit.ledger import ROOT
from latentgeo.eval.course.book import kept
from latentgeo.eval.course.computed import NUMBERS, Computed

SOURCES = {
    "eval/course/scripts/wave.py": "import torch\nfrom latentgeo.core.sine import sine\n",
    "core/sine.py": "def sine():\n    from latentgeo.models import net\n",
    "models/net.py": "",
    "models/zoo/weights.bin": "1",
    "core/other.py": "",
    "eval/course/scripts/flat.py": "import torch\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kept, "ROOT", tmp_path)
    monkeypatch.setattr(kept, "ZOO", tmp_path / "models" / "zoo")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("eval/course/scripts/wave.py", True),
        ("core/sine.py", True),
        ("models/net.py", True),  # imported within a function
        ("models/zoo/weights.bin", True),
        ("core/other.py", False),
    ],
)
def test_the_key_follows_what_the_script_depends_on(tree, name, matters):
    before, flat = kept.key("wave", quick=False), kept.key("flat", quick=False)
    (tree / name).write_text("changed = 1\n")
    assert (kept.key("wave", quick=False) != before) == matters
    assert kept.key("flat", quick=False) == flat
    assert kept.key("wave", quick=True) != kept.key("wave", quick=False)


def test_what_a_script_imports_is_found_in_the_tree():
    found = kept.behind(ROOT / "eval" / "course" / "scripts" / "noise.py")
    names = {path.relative_to(ROOT).as_posix() for path in found}
    assert {"core/ddpm.py", "core/precision.py", "eval/page/canvas.py"} <= names
    assert "eval/audit/run.py" not in names


def test_a_script_runs_once(tree, tmp_path, monkeypatch):
    """And again where its numbers, which are written last, are missing."""
    runs = []

    def compute(script, quick):
        runs.append((script, quick))
        return Computed(numbers={"n": len(runs)}, pictures={"a": "<svg></svg>"})

    monkeypatch.setattr(kept, "compute", compute)
    first, ran = kept.computed("wave", True, tmp_path / "computed")
    again, ran_again = kept.computed("wave", True, tmp_path / "computed")
    assert (ran, ran_again, runs) == (True, False, [("wave", True)])
    assert first == again and set(first) == {NUMBERS, "a.svg"}
    next((tmp_path / "computed").glob(f"*/{NUMBERS}")).unlink()
    assert kept.computed("wave", True, tmp_path / "computed")[1]
