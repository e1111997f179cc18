"""`latentgeo eval-transport`, from the line to the files."""

import json

import pytest

from latentgeo.core.run.main import main


def words(tiny, out, *more):
    start = ["eval-transport", "--data", str(tiny.data), "--device", "cpu", "--out", str(out)]
    models = [] if "--models" in more else ["--models", str(tiny.model)]
    return [*start, *models, "--pairs", "5", "--frames", "3", "--steps", "1", *more]


def test_command_from_the_line_to_the_report(tiny, tmp_path, capsys):
    models = ["--models", str(tiny.model), tiny.smooth]
    assert main(words(tiny, tmp_path, *models)) == 0
    out = capsys.readouterr().out
    assert "mean consecutive LPIPS" in out and f"{tiny.smooth}: partial" in out
    found = json.loads((tmp_path / "results.json").read_text())["results"]
    assert {one["n"] for one in found if ", similarity " not in one["metric"]} == {5}
    short = json.loads((tmp_path / "summary.json").read_text())
    assert list(short["settings"]) == models[1:] and len(short["results"]) == len(found)
    for row, one in zip(short["results"], found, strict=True):
        assert row[:2] == [one["model"], one["metric"]] and row[-1] == one["n"]
        assert row[2] == pytest.approx(one["value"], rel=1e-3)
        assert (row[3] is None) == (one["interval"] is None)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 4 and "Walks between prompts" in page
    before = sorted(path.read_text() for path in tmp_path.glob("rows/*/rows-0.jsonl"))
    assert main(words(tiny, tmp_path, *models)) == 0
    assert before == sorted(path.read_text() for path in tmp_path.glob("rows/*/rows-0.jsonl"))


def test_prompts_come_from_a_file(tiny, tmp_path, capsys):
    file = tmp_path / "prompts.txt"
    file.write_text("\n\n".join(f"a person with {i} hats" for i in range(11)))
    more = ["--prompt-file", str(file), "--n-prompts", "11", "--couplings", "index", "worst"]
    assert main(words(tiny, tmp_path / "out", *more)) == 0
    (path,) = (tmp_path / "out").glob("rows/*/rows-0.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert all("hats" in row["first"] for row in rows)
    assert list(rows[0]["couplings"]) == ["index", "worst"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--pairs", "4"), "pairs"),
        (("--frames", "2"), "frames"),
        (("--noises", "0"), "noises"),
        (("--limit", "6"), "--limit must lie in 1 to --pairs 5, got 6"),
        (("--n-prompts", "9"), "--n-prompts must be at least 10, 2 per pair"),
        (("--couplings", "index"), "couplings"),
        (("--couplings", "index", "best"), "couplings"),
        (("--pairs", "7"), "wanted 2 for each of 7 pairs"),
        (("--models", "nowhere"), "nowhere"),
        (("--prompt-file", "/nowhere.txt"), "nowhere.txt"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tiny, tmp_path, capsys, more, message):
    assert main(words(tiny, tmp_path, *more)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
