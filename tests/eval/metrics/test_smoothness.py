"""ISTD: known distances, known images, the protocol's noises, and a measurement that can stop."""

import json
import sys
from functools import partial

import numpy as np
import pytest
import torch

from latentgeo.core.run.main import main
from latentgeo.eval.metrics import smoothness
from latentgeo.eval.metrics.smoothness import (
    Walks,
    deviations,
    istd,
    measure,
    noise_pair,
    prompt_walks,
    smoothness_results,
)
from latentgeo.infer.sampling.pipeline import sampling_of
from latentgeo.infer.walks.walk import adjacent_distances
from tests.train.ranks import together

CAPTIONS = ["a smiling person", "a sad person", "a person with short hair"]


def walks(distances, model="base"):
    d = np.asarray(distances, dtype=np.float64)
    return Walks(distances=d, span=d.sum(axis=1), seed=0, settings={"model": model})


def test_istd_of_known_distances():
    """SmoothS Sec. A.3: 1..10 has variance (10² - 1)/12, a constant has none; then the mean."""
    rising = torch.arange(1.0, 11.0)
    distances = torch.stack([rising, torch.full((10,), 4.0), 3 * rising])
    root = (99 / 12) ** 0.5
    torch.testing.assert_close(
        deviations(distances), torch.tensor([root, 0.0, 3 * root], dtype=torch.float64)
    )
    assert istd(distances).item() == pytest.approx(4 * root / 3)


def test_istd_of_images_that_change_by_known_steps():
    """SmoothS Sec. A.3: one pixel jumps once: the std of (1, 0 × 9) is 0.3, times √3 channels."""
    images = torch.full((1, 11, 3, 5, 7), -1.0)
    images[:, 1:, :, 2, 3] = 1.0
    assert istd(adjacent_distances(images)).item() == pytest.approx(0.3 * 3**0.5)
    even = torch.linspace(-1, 1, 11).reshape(1, 11, 1, 1, 1).expand(1, 11, 3, 5, 7)
    assert istd(adjacent_distances(even)).item() == pytest.approx(0, abs=1e-6)


def test_istd_wants_two_distances():
    with pytest.raises(ValueError, match="F >= 3"):
        istd(torch.zeros(3, 1))


def test_noises_belong_to_seed_and_prompt():
    """SmoothS Sec. A.3, Smooth Sec. 4.1c: the noises of each prompt are the same for every
    model.
    """
    shape = (4, 3, 5)
    assert torch.equal(noise_pair(2, shape, 0), noise_pair(2, shape, 0))
    others = [noise_pair(1, shape, 0), noise_pair(2, shape, 1)]
    assert all((noise_pair(2, shape, 0) - other).abs().min() > 0 for other in others)
    a, b = noise_pair(2, shape, 0)
    assert (a - b).abs().min() > 0


def test_walks_take_equal_steps_of_the_angle():
    """SmoothS Sec. A.3, Smooth Sec. 4.1c: every neighbouring pair of latents is equally far
    apart on the arc.
    """
    paths = prompt_walks([0, 5], (4, 7, 11), seed=0, frames=11).double()
    assert paths.shape == (2, 11, 4, 7, 11)
    torch.testing.assert_close(paths[1, [0, -1]], noise_pair(5, (4, 7, 11), 0).double())
    unit = paths.flatten(2) / paths.flatten(2).norm(dim=2, keepdim=True)
    angles = (unit[:, 1:] * unit[:, :-1]).sum(2).acos()
    torch.testing.assert_close(angles, angles[:, :1].expand_as(angles), rtol=1e-4, atol=0)


def test_results_of_known_walks():
    base = walks([[1.0, 3.0], [2.0, 6.0], [3.0, 9.0]])
    smooth = walks([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], "smooth")
    found = {(r.metric, r.model): r for r in smoothness_results({"base": base, "smooth": smooth})}
    value = {key: one.value for key, one in found.items()}
    assert value["ISTD, pixels [0,1]", "base"] == pytest.approx(2.0)
    assert value["ISTD, pixels [0,255]", "base"] == pytest.approx(510.0)
    assert value["mean adjacent distance", "smooth"] == pytest.approx(3.0)
    assert value["ISTD / mean adjacent distance", "base"] == pytest.approx(0.5)
    assert value["ISTD, ratio to base", "smooth"] == pytest.approx(0.5)
    assert value["ISTD / mean adjacent distance, ratio to base", "smooth"] == pytest.approx(2 / 3)
    assert found["ISTD, ratio to base", "smooth"].interval == pytest.approx([0.5, 0.5])
    assert not any("ratio" in metric for metric, model in found if model == "base")


def test_scaling_the_images_does_not_change_the_fair_ratio():
    """A model whose images change half as much has half the ISTD, but is no more even."""
    d = np.random.default_rng(0).uniform(1, 5, (20, 10))
    found = smoothness_results({"base": walks(d), "dull": walks(d / 2, "dull")})
    value = {r.metric: r.value for r in found if r.model == "dull"}
    assert value["ISTD, ratio to base"] == pytest.approx(0.5)
    assert value["ISTD / mean adjacent distance, ratio to base"] == pytest.approx(1.0)


def measured(bundle, folder, captions=CAPTIONS, batch=5, **identity):
    sampling = sampling_of(bundle, 2, 2.0, batch=batch)
    return measure(bundle, captions, sampling, folder, {"model": "m", **identity}, 0, frames=5)


def test_rows_do_not_depend_on_the_batch(bundle, tmp_path):
    one, other = measured(bundle, tmp_path / "a"), measured(bundle, tmp_path / "b", batch=16)
    np.testing.assert_allclose(one.distances, other.distances, rtol=1e-3)
    assert one.distances.shape == (3, 4) and one.span.shape == (3,)
    assert (one.span <= one.distances.sum(axis=1) + 1e-9).all()


def test_a_stopped_measurement_goes_on_and_agrees(bundle, tmp_path, monkeypatch):
    whole = measured(bundle, tmp_path / "whole")
    monkeypatch.setattr("latentgeo.eval.runs.jobs.append_rows", stop_after(1))
    with pytest.raises(KeyboardInterrupt):
        measured(bundle, tmp_path / "part")
    monkeypatch.undo()
    path = tmp_path / "part" / "rows-0.jsonl"
    assert len(path.read_text().splitlines()) == 1
    path.write_text(path.read_text() + '{"prompt": 1, "dist')  # a line that a crash cut short
    resumed = measured(bundle, tmp_path / "part")
    np.testing.assert_array_equal(resumed.distances, whole.distances)
    monkeypatch.setattr("latentgeo.eval.runs.jobs.append_rows", stop_after(0))
    np.testing.assert_array_equal(measured(bundle, tmp_path / "part").distances, whole.distances)


def stop_after(calls):
    """Return an `append_rows` that is interrupted after so many calls."""
    from latentgeo.eval.runs.rows import append_rows

    done = []

    def append(folder, rows):
        if len(done) == calls:
            raise KeyboardInterrupt
        done.append(1)
        append_rows(folder, rows)

    return append


def test_ctrl_c_says_what_is_kept_and_the_same_command_goes_on(
    tiny, tmp_path, monkeypatch, capsys, ctrl_c
):
    """Stopped in the third of four prompts; two are not measured again."""
    models = ["--models", str(tiny.model), "--data", str(tiny.data), "--device", "cpu"]
    words = ["eval-istd", *models, "--n-prompts", "4", "--frames", "3", "--batch", "3"]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    capsys.readouterr()
    seen, rows = [], smoothness._rows

    def stopping(*arguments):
        seen.append(arguments[-1])
        if len(seen) == 3:
            ctrl_c()
        return rows(*arguments)

    monkeypatch.setattr(smoothness, "_rows", stopping)
    out = tmp_path / "parts"
    assert main([*words, "--out", str(out)]) == 130
    (folder,) = (out / "rows").iterdir()
    told, last = capsys.readouterr().err.splitlines()
    assert told == (
        f"stopped: 2 of 4 prompts are kept in {folder}; the same command goes on from there"
    )
    assert last == "latentgeo eval-istd: interrupted" and not (out / "results.json").exists()
    assert main([*words, "--out", str(out)]) == 0
    assert len(seen) == 5 and set(map(str, out.rglob("*"))).isdisjoint({str(out / ".lock")})
    results = [(tmp_path / name / "results.json").read_text() for name in ("whole", "parts")]
    assert results[0] == results[1]


def test_rows_of_other_settings_are_not_mixed_in(bundle, tmp_path):
    measured(bundle, tmp_path, captions=CAPTIONS[:1])
    with pytest.raises(ValueError, match=r"other settings \(captions, prompts\)"):
        measured(bundle, tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(weights\)"):
        measured(bundle, tmp_path, captions=CAPTIONS[:1], weights="other")


def test_command_from_the_line_to_the_results(tiny, tmp_path, capsys):
    models = [str(tiny.model), tiny.smooth]
    words = ["eval-istd", "--models", *models, "--data", str(tiny.data), "--n-prompts", "3"]
    words += ["--frames", "4", "--device", "cpu", "--out", str(tmp_path)]
    assert main(words) == 0
    assert "ISTD, pixels [0,1]" in capsys.readouterr().out
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["environment"]["torch"] == torch.__version__.split("+")[0]
    first = found["results"][0]
    wanted = {"paper", "metric", "model", "value", "interval", "n", "seed", "settings"}
    assert first.keys() == wanted
    assert (first["paper"], first["model"], first["n"]) == ("Smooth", models[0], 3)
    assert first["settings"]["ddof"] == 0
    (path,) = tmp_path.glob("rows/model-????????/rows-0.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    stds = [np.std(row["distances"]) for row in rows]
    assert first["value"] == pytest.approx(np.mean(stds))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--n-prompts", "0"), "prompts"),
        (("--frames", "2"), "frames"),
        (("--steps", "0"), "steps"),
        (("--guidance", "inf"), "guidance"),
        (("--batch", "0"), "batch"),
        (("--models", "a", "a"), "models"),
        (("--models", "nowhere"), "nowhere"),
        (("--data", "/nowhere.zip"), "nowhere.zip"),
        (("--prompt-file", "/nowhere.txt"), "nowhere.txt"),
        (("--n-promts", "3"), "did you mean --n-prompts"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, words, message):
    start = ["eval-istd", "--models", str(tiny.model), "--data", str(tiny.data)]
    start += ["--n-prompts", "2", "--device", "cpu", "--out", str(tmp_path)]
    assert main([*start, *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_fewer_prompts_than_wanted_are_all_taken_and_that_is_said(tiny, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a sad person\na happy person\n")
    words = ["eval-istd", "--models", str(tiny.model), "--prompt-file", str(file)]
    words += ["--steps", "1", "--frames", "3", "--device", "cpu", "--out", str(tmp_path)]
    with pytest.warns(UserWarning, match=f"n_prompts: wanted 500, {file} has 2: all of them are"):
        assert main(words) == 0
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    assert found[0]["n"] == 2


def test_a_model_of_ones_own_needs_its_data(tiny, tmp_path, capsys):
    words = ["--models", str(tiny.model), "--device", "cpu", "--out", str(tmp_path)]
    for command in ("eval-istd", "eval-quality", "eval-reconstruction", "eval-edit", "eval-drag"):
        assert main([command, *words]) == 2
        line = (
            f"latentgeo {command}: --data: got none, but {tiny.model} is a model of your own: give"
        )
        assert capsys.readouterr().err.startswith(line)


def ended_well(words):
    assert main(words) == 0
    sys.stdout.flush()


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tiny, tmp_path, capfd):
    """As torchrun starts them: the prompts are shared out; the results are those of one process, to
    the bit.
    """
    words = ["eval-istd", "--models", str(tiny.model), "--data", str(tiny.data), "--n-prompts", "5"]
    words += ["--frames", "3", "--batch", "3", "--device", "cpu", "--out"]
    assert main([*words, str(tmp_path / "one")]) == 0
    capfd.readouterr()
    together(2, partial(ended_well, [*words, str(tmp_path / "two")]))
    assert capfd.readouterr().out.count("ISTD, pixels [0,1]") == 1
    files = sorted((tmp_path / "two").glob("rows/model-????????/rows-*.jsonl"))
    assert [len(path.read_text().splitlines()) for path in files] == [3, 2]
    one, two = (
        json.loads((tmp_path / name / "results.json").read_text())["results"]
        for name in ("one", "two")
    )
    assert one == two
