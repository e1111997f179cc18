"""The names of sources and commits."""

import subprocess

import pytest

from latentgeo.eval.kernels.sources import FOLDER, SHOWN, commit, sources


@pytest.fixture
def folder(tmp_path):
    for name, text in {"norms/op.py": "x = 1\n", "aot/rows.py": "y = 1\n"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    return tmp_path


def named(folder):
    sources.cache_clear()
    return sources(folder)


def test_a_name_changes_with_what_is_run_and_with_nothing_else(folder):
    before = named(folder)
    assert len(before) == SHOWN and named(folder) == before
    (folder / "aot" / "rows.py").write_text("y = 2\n")
    (folder / "norms" / "note.txt").write_text("no code")
    assert named(folder) == before
    (folder / "norms" / "op.py").write_text("x = 2\n")
    assert named(folder) != before
    (folder / "norms" / "op.py").write_text("x = 1\n")
    assert named(folder) == before
    (folder / "norms" / "op.py").rename(folder / "norms" / "other.py")
    assert named(folder) != before


def test_the_kernels_are_found():
    assert (FOLDER / "attention" / "kernels.py").is_file()


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_a_commit_says_whether_files_differ_from_it(folder):
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    commit.cache_clear()
    clean = commit(folder)
    assert len(clean) == SHOWN and not clean.endswith("+")
    (folder / "norms" / "op.py").write_text("x = 2\n")
    commit.cache_clear()
    assert commit(folder) == f"{clean}+"


def test_without_git_there_is_no_commit(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    commit.cache_clear()
    assert commit(folder) == ""
    commit.cache_clear()
