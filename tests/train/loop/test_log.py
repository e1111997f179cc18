"""The log: records of a run, whole or absent, and what those of the embedded adapters say."""

import json
import math
import os
import tomllib
from pathlib import Path

import pytest

from latentgeo.models.zoo.places import ZOO
from latentgeo.train.loop.log import Log, read_log


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record that could not be written is missing; those before and after it are not."""
    log, sync = Log(tmp_path, 3, 0), os.fsync

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    log.write({"step": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        log.write({"step": 2})
    monkeypatch.setattr(os, "fsync", sync)
    log.write({"step": 3})
    log.close()
    assert [record["step"] for record in read_log(tmp_path / "log.jsonl")] == [1, 3]


@pytest.mark.parametrize("run", ["smooth", "smooth_continued"])
def test_two_thousand_steps_in_bfloat16_were_finite(run: str) -> None:
    """Loss, penalty, gradient, v and a of every record of the embedded adapter's training."""
    recipe = tomllib.loads((ZOO / "avatars" / "recipes" / f"{run}.toml").read_text())
    lines = (ZOO / "avatars" / "logs" / f"{run}.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert recipe["dtype"] == "bf16" and records[-1]["step"] == recipe["steps"] >= 2000
    for record in records:
        assert {"loss", "base", "reg", "gradient", "v", "a"} <= record.keys()
        assert all(math.isfinite(value) for value in record.values())
