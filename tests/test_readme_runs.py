"""Every command line of the manuals is run, made small, and keeps what it promises.

A command is made of the words on the page; SMALL says which of its settings are then others. The
lines of one block run in order in one folder, which has files by the names that stand for the
reader's own. Under another program (torchrun, nsys, ncu) the command alone is run, in one process.
So are commands with options within a sentence, where they are whole.
"""

import functools
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latentgeo.core.run.cli import parse, to_toml
from latentgeo.core.run.main import commands, guarded, show
from tests.pages import (
    MAIN,
    MANUALS,
    ROOT,
    blocks_of,
    class_of,
    examples_of,
    filled,
    functions,
    name_of,
    ours,
    programs_of,
    spans_of,
    text_of,
)
from tests.stand_ins import CLASSES, LORA, SD, write_stand_ins

SMALL: dict[str, dict[str, Any]] = {  # how a line begins -> its settings that are others here
    "interpolate": {"frames": 3, "steps": 1},
    "sample --model avatars-ddpm": {"count": 2, "steps": 2},
    "sample --model PATH+LORA@SCALE": {
        "model": f"{SD}+{LORA}@0.5",
        "prompts": ("a face",),
        "steps": 1,
    },
    "sample --model PATH --count": {"model": f"{CLASSES}", "steps": 1},
    "sample --model avatars-smooth": {"steps": 1},
    "drag": {"steps": 2, "iterations": 1, "lora_steps": 1},
    "edit-semantic": {"steps": 3},
    "eval-typical": {"data": "avatars", "n_images": 20},
    "directions": {"count": 1, "steps": 2, "gammas": (1.0,), "tolerance": 0.5},
    # every metric is measured of a tiny model by tests/eval/compare/test_run.py
    "compare": {
        "metrics": ("reconstruction",),
        "steps": 1,
        "frames": 3,
        "inverted": 2,
        "shown": 1,
    },
    "train-vae --config laptop-vae": {"steps": 1, "batch": 2, "scale_images": 2},
    "train-diffusion --config laptop": {"steps": 1, "batch": 2, "samples": 2, "sample_steps": 2},
    "train-smooth --config laptop-smooth": {"steps": 1, "batch": 2, "samples": 2},
    "train-smooth": {"steps": 1, "batch": 2, "accumulate": 2, "samples": 1, "size": 32},
    "train-asyrp": {"n_images": 1, "batch": 1, "epochs": 1, "trained_steps": 3},
    "eval-isometry": {
        "steps": 1,
        "ppl_pairs": 2,
        "walks": 2,
        "frames": 3,
        "jacobians": 3,
        "times": (900,),
        "cells": (1,),
        "lanczos": 3,
    },
    "eval-edit": {"n_images": 2, "steps": 2, "base_methods": ("cycle-diffusion",)},
    "eval-istd": {"models": (f"{SD}+{LORA}",), "n_prompts": 2, "steps": 1, "frames": 3},
    "eval-intervals": {"n_images": 2, "steps": 5},
    "eval-asyrp": {"n_images": 2, "steps": 2},
    # of a paper of two rows: the tests of all take minutes, and each mutant some of them
    "audit --check": {"paper": "CFG"},
    "audit --mutate": {"paper": "CFG", "mutate": 1},
    # a kernel compiles in a second, all in a quarter of an hour
    "bench-aot": {"arch": ("sm_80",), "dtype": ("bf16",), "kernels": ("gates.silu",)},
    # what is measured needs a GPU; the cases, which must exist, are listed without
    "bench-kernels": {"list": True, "out": None},
    "bench-kernels --compare": {"list": True, "compare": ()},
    "bench-account": {"preset": "tiny", "latent_size": 8},
    "bench-step": {"preset": "tiny", "latent_size": 8, "rounds": 1},
    "inspect FILE": {"file": SD},
    "convert --from FILE --to FILE": {"from_": SD, "to": Path("other"), "layout": "diffusers"},
    "convert --from FILE --to FOLDER": {"from_": SD, "to": Path("parts")},
}
SHORTER = {  # examples in Python
    "seed=3)": "seed=3, steps=2)",
    "times(model.schedule, 50)": "times(model.schedule, 2)",
}
NOT_RUN = {  # program of a line -> why, and what runs it instead
    "python -m pip install .": "changes the environment and reads a package index",
    "python -m pip install -e '.[test]'": "so does this; .ci/run does it before a merge",
    "python -m pip install '.[studio]'": "likewise",
    "python -m pip install '.[course]'": "likewise",
    "latentgeo studio": "serves until Ctrl-C: "
    "tests/eval/studio/test_frame.py::test_a_walk_is_scrubbed_and_its_command_makes_the_same_bytes",
    "latentgeo book --out book": "minutes; of a small course: "
    "tests/eval/course/book/test_run.py::test_one_chapter_alone",
    "pytest": "runs this test",
    "latentgeo demo --out out": "minutes; of a tiny model: "
    "tests/eval/demo/test_run.py::test_every_number_of_results_is_on_the_page",
    "latentgeo eval-isometry --config iso-table-1 --models BASE TWIN --data my-images --inception "
    "pt_inception.pth --out out/iso-table-1": "hours, and FID's file; a test parses the recipe",
    "latentgeo zoo --out runs/zoo": "hours; of small chains: tests/eval/zoo/test_run.py",
    "latentgeo zoo --out runs/zoo-gpu --chain gpu --piece 10": "likewise, and a GPU",
    "ruff check .": "tests/test_readme_runs.py::test_ruff_has_nothing_to_say",
    "ruff format --check .": "tests/test_readme_runs.py::test_ruff_has_nothing_to_say",
    ".ci/links": "tests/test_readme_runs.py::test_links_are_made_for_type_checkers",
    "mypy -p latentgeo": "a minute; .ci/run does it before a merge",
    "nsys stats --report nvtx_kern_sum kernels.nsys-rep": "Nsight Systems, of a run on a GPU",
    "ncu --import kernels.ncu-rep --page details": "Nsight Compute, of a run on a GPU",
}


def command_lines(block: str) -> Iterator[list[str]]:
    """Yield the words of each program of a block that is no formula."""
    for line in block.splitlines():
        if line.strip() and " = " not in line:
            yield from programs_of(line)


def runnable(block: str) -> list[list[str]]:
    return [one for one in command_lines(block) if shlex.join(one) not in NOT_RUN]


BLOCKS = [
    pytest.param(block, id=f"{name_of(page)}: {' '.join(runnable(block)[0])[:40]}")
    for page in MANUALS
    for block in blocks_of(text_of(page))
    if runnable(block)
]


def whole(span: str) -> bool:
    """Whether words of a sentence are a command of ours with options, and all that it needs."""
    words = shlex.split(span) if re.match("latentgeo [a-z]", span) else []
    if len(words) < 3:
        return False
    try:
        parse(class_of(words[1]), filled(class_of(words[1]), words[2:]))
    except ValueError as error:
        assert " is required: " in str(error), span
        return False
    return True


MENTIONS = sorted({span for page in MANUALS for span in spans_of(text_of(page)) if whole(span)})


@pytest.fixture(scope="module")
def given(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    write_stand_ins(folder, tiny.model)
    return folder


@pytest.fixture
def here(given, tmp_path, monkeypatch):
    """The current folder of a block."""
    for path in given.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(words: list[str]) -> Any:
    """Return the command of a line, as the page has it but for its size."""
    command = parse(class_of(words[0]), filled(class_of(words[0]), words[1:]))
    text = shlex.join(words)
    begins = [start for start in SMALL if text.startswith(start)]
    return replace(command, **SMALL[max(begins, key=len)]) if begins else command


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run a line and check what it leaves behind."""
    command = small(words)
    if getattr(command, "mutate", 0):
        status, out, err = afresh(words[0], to_toml(command))
    else:
        work = commands()[words[0]].work_function()
        status = guarded("latentgeo", lambda: show(work(command)))
        out, err = capsys.readouterr()
    assert status == 0, f"{shlex.join(words)}: {err}"
    places = [getattr(command, name, None) for name in ("out", "to", "html")]
    for place in filter(None, places):
        files = [place, *place.rglob("*")] if place.is_dir() else [place]
        sizes = [path.stat().st_size for path in files if path.is_file()]
        assert sizes and all(sizes), f"{shlex.join(words)}: {place} has {files}"
        if place.is_dir() and place == getattr(command, "out", None):
            again = parse(type(command), ["--config", str(place / "run.toml")])
            assert again == command
    assert any(places) or out.strip(), f"{shlex.join(words)} says nothing"


@functools.cache
def afresh(name: str, settings: str) -> tuple[int, str, str]:
    """Run a command in a process of its own, as one that forks needs, and equal ones once."""
    Path("fresh.toml").write_text(settings, encoding="utf-8")
    line = [sys.executable, "-m", MAIN, name, "--config", "fresh.toml"]
    done = subprocess.run(line, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_the_lines_of_a_page_run(block, here, capsys):
    shell = {}
    for words in runnable(block):
        if found := re.fullmatch(r"([A-Z]+)=(.*)", words[0]):
            shell[f"${found[1]}"] = found[2]
            continue
        (line,) = ours(words)
        for name, value in shell.items():
            line = [word.replace(name, value) for word in line]
        run(line, capsys)


@pytest.mark.parametrize("mention", MENTIONS)
def test_the_commands_in_sentences_run(mention, here, capsys):
    words = shlex.split(mention)[1:]
    if words[0] == "bench-step":
        pytest.importorskip("diffusers")
        pytest.importorskip("peft")
    run(words, capsys)


@pytest.mark.parametrize("page", MANUALS, ids=name_of)
def test_every_line_is_run_or_has_a_reason(page):
    for block in blocks_of(text_of(page)):
        for words in runnable(block):
            assert list(ours(words)) or "=" in words[0], f"{shlex.join(words)}: nothing runs this"


def test_no_reason_and_no_setting_is_left_over():
    blocks = [block for page in MANUALS for block in blocks_of(text_of(page))]
    programs = [words for block in blocks for words in command_lines(block)]
    assert not set(NOT_RUN) - set(map(shlex.join, programs))
    lines = [shlex.join(line) for words in programs for line in ours(words)]
    lines += [mention.removeprefix("latentgeo ") for mention in MENTIONS]
    assert not [start for start in SMALL if not any(line.startswith(start) for line in lines)]


def test_what_runs_a_line_instead_is_there():
    for reason in NOT_RUN.values():
        for file, test in re.findall(r"(tests/\S+\.py)::(\w+)", reason):
            assert test in functions(ROOT / file), f"no {test} in {file}"
        assert ".ci/run" not in reason or (ROOT / ".ci" / "run").is_file()


@pytest.mark.parametrize("source", examples_of(text_of(ROOT / "README.md")))
def test_the_examples_in_python_run(source, here):
    shorter = functools.reduce(lambda text, old: text.replace(old, SHORTER[old]), SHORTER, source)
    assert shorter != source
    names: dict[str, Any] = {}
    exec(compile(shorter, "README.md", "exec"), names)
    if "image" in names:
        assert names["image"].shape == (1, 3, 64, 64) and names["image"].isfinite().all()
    else:
        assert list((here / "out").glob("*.png"))


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_has_nothing_to_say(words):
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed")
    line = [sys.executable, "-m", "ruff", *words, "--no-cache", "."]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_links_are_made_for_type_checkers(tmp_path):
    (tmp_path / ".ci").mkdir()
    (tmp_path / "core").mkdir()
    shutil.copy(ROOT / ".ci" / "links", tmp_path / ".ci")
    subprocess.run([tmp_path / ".ci" / "links"], check=True)
    assert (tmp_path / "build" / "typing" / "latentgeo" / "core").is_dir()
