"""`latentgeo toy-isometry` from the command line to the files."""

import json

import pytest
from PIL import Image

from latentgeo.core.run.main import main

QUICK = ("--steps", "8", "--batch", "17", "--width", "11", "--repeats", "2")


def test_pictures_numbers_and_table(tmp_path, capsys):
    """Iso Sec. A.1: the plots are drawn and their numbers recorded, the error falling."""
    assert main(["toy-isometry", "--out", str(tmp_path), *QUICK]) == 0
    table = capsys.readouterr().out
    assert "condition number" in table and "isometry, G = I" in table
    for name in ("maps.png", "traces.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 1000
    rows = json.loads((tmp_path / "results.json").read_text())["results"]
    kinds = {row["model"] for row in rows if row["metric"] == "condition number"}
    assert len(kinds) == 4
    spread = [row for row in rows if row["metric"] == "spread of singular values"]
    assert all(row["n"] == 2 and row["interval"][0] <= row["value"] for row in spread)
    errors = [row for row in rows if "error of the estimated" in row["metric"]]
    assert errors[-1]["value"] < 0.1 * errors[0]["value"]
    last = [row for row in rows if row["metric"] == "estimate of Tr(R) at one point"][-1]
    gap = abs(last["value"] - last["settings"]["exact"])
    assert last["n"] == 512 and gap < 4 * last["settings"]["standard error"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--gap", "180"), "gap must be in [0, 180), got 180.0"),
        (("--repeats", "0"), "repeats must be at least 1, got 0"),
        (("--rate", "0"), "rate must be positive and iso_weight not"),
        (
            ("--iso-weight", "nan"),
            "iso_weight not negative, got 0.01 and nan",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, words, message):
    assert main(["toy-isometry", "--out", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
