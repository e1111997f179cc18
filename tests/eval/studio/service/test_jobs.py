"""Jobs run one at a time, say what comes of them, stop when told to, and leave nothing behind."""

import threading
import time
import warnings
from pathlib import Path

import pytest
import torch

from latentgeo.core.run.cli import parse
from latentgeo.eval.studio.service.jobs import MOST, Job, Jobs, is_first, relative
from latentgeo.infer.sampling.settings import Sample
from latentgeo.infer.walks.settings import Interpolate

ME, YOU = ("me", "walk"), ("you", "walk")


def last(jobs, owner, work):
    *_, seen = jobs.follow(owner, work, Interpolate)
    return seen


def drawing(tiny, job, **more):
    return Sample(model=str(tiny.model), prompts=("a face",), out=job.folder / "out", **more)


def test_a_command_is_run_shown_and_leaves_no_folder(tiny):
    folders = []

    def work(job):
        folders.append(job.folder)
        job.run(drawing(tiny, job, seed=3), 4)
        return str((job.folder / "out" / "grid.png").is_file())

    seen = last(Jobs(), ME, work)
    assert (seen.html, seen.share, seen.error) == ("True", 1.0, "")
    line = f"latentgeo sample --out out --model {tiny.model} --prompts 'a face' --seed 3"
    assert sorted(seen.lines[0].split()) == sorted(line.split())
    assert not folders[0].exists()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("seed and seed_b: got 0 twice"), "--seed and --seed-b: got 0 twice"),
        (FileNotFoundError(2, "No such file", "a.png"), "No such file: a.png"),
        (KeyError("oops"), "KeyError: a fault of the studio; its terminal says more"),
        (KeyboardInterrupt(), "stopped"),
    ],
)  # fmt: skip
def test_errors_are_the_command_lines(error, sentence, capsys):
    def work(job):
        raise error

    assert last(Jobs(), ME, work).error == sentence


def test_a_value_of_the_page_is_read_as_on_the_command_line():
    job = Job(lambda job: "", Interpolate, {})
    assert (
        job.value("guidance", " 2.5 ")
        == parse(Interpolate, ["--prompt", "", "--out", "o", "--guidance", "2.5"]).guidance
    )
    assert job.value("guidance", "") is None
    with pytest.raises(ValueError, match="guidance: got 'much', wanted a number, or none"):
        job.value("guidance", "much")


def test_warnings_are_shown_without_the_jobs_folder():
    def work(job):
        warnings.warn(f"prompt: {job.folder}/a.png is odd", UserWarning, stacklevel=1)
        return ""

    assert last(Jobs(), ME, work).said == ("--prompt: a.png is odd",)


def test_one_runs_and_others_wait_in_order():
    """The second begins when the first has ended, and is told how many are before it."""
    jobs, running, most, go = Jobs(), [], [], threading.Event()

    def work(job):
        running.append(job)
        most.append(len(running))
        go.wait(20)
        running.pop()
        return ""

    first, second = jobs.follow(ME, work, Interpolate), jobs.follow(YOU, work, Interpolate)
    next(first)
    assert next(second).text == "1 before this one"
    go.set()
    list(first)
    assert list(second)[-1].text.startswith("done in")
    assert most == [1, 1] and not jobs.line


def test_a_network_stops_before_its_next_layer():
    """Nobody iterates any more: the job stops by itself, and the line is free."""
    jobs, layer = Jobs(), torch.nn.Linear(2, 2)
    count = 0

    def work(job):
        nonlocal count
        with job._watched("walk", 10):
            while True:
                layer(torch.zeros(1, 2))
                count += 1
                time.sleep(0.001)

    follow = jobs.follow(ME, work, Interpolate)
    next(follow), next(follow)
    follow.close()
    assert not jobs.line
    after = count
    time.sleep(0.05)
    assert count == after > 0
    layer(torch.zeros(1, 2))  # the hook is gone


def test_a_newer_job_of_the_same_tab_takes_the_olders_place():
    """Of the older, which waits here, nothing more is seen; the newer's result is."""
    jobs, go = Jobs(), threading.Event()
    other = jobs.follow(YOU, lambda job: go.wait(20) and "", Interpolate)
    older = jobs.follow(ME, lambda job: "older", Interpolate)
    next(other), next(older)
    newer = jobs.follow(ME, lambda job: "newer", Interpolate)
    next(newer)
    assert list(older) == []
    go.set()
    list(other)
    assert list(newer)[-1].html == "newer"


def test_only_its_owner_stops_a_job():
    jobs, go = Jobs(), threading.Event()
    waiting = jobs.follow(ME, lambda job: go.wait(20) and "", Interpolate)
    next(waiting)
    (_, job), = jobs.line  # fmt: skip
    jobs.stop(("you", ""))
    jobs.stop(("me", "drag"))
    assert not job.stopping.is_set()
    jobs.stop(("me", ""))
    assert job.stopping.is_set()
    go.set()
    list(waiting)


def test_the_line_has_an_end():
    jobs, go = Jobs(), threading.Event()
    waiting = [
        jobs.follow((str(i), ""), lambda job: go.wait(20) and "", Interpolate) for i in range(MOST)
    ]
    for one in waiting:
        next(one)
    assert (
        last(jobs, ME, lambda job: "").error == f"{MOST} jobs are waiting already; try again later"
    )
    go.set()
    for one in waiting:
        one.close()


def test_passes_are_of_images_and_latents():
    conv = torch.nn.Conv2d
    assert is_first(conv(4, 8, 3)) and is_first(conv(3, 8, 3))
    assert not is_first(conv(8, 4, 3)) and not is_first(torch.nn.Linear(4, 4))
    assert not is_first(conv(4, 8, 3, bias=False))  # from a LoRA's rank


def test_paths_are_as_from_the_jobs_folder():
    given = Interpolate(
        prompt="", out=Path("/job/out/a"), images=(Path("/job/a.png"), Path("/b.png"))
    )
    shown = relative(given, Path("/job"))
    assert (shown.out, shown.images) == (Path("out/a"), (Path("a.png"), Path("/b.png")))
