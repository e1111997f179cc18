"""A step of recorded parts is the step: with a recorder that runs at every replay, on a CPU."""

from dataclasses import replace

import pytest

from latentgeo.core.run.main import main
from latentgeo.models.bundles.text_to_image import save_bundle
from latentgeo.train.loop.graph import WARM, Graphs
from latentgeo.train.loop.log import read_log
from latentgeo.train.loop.run import Loop
from latentgeo.train.smoothing.settings import TrainSmooth
from latentgeo.train.smoothing.smooth import train

TIMES = ("elapsed", "images_per_second")


class Late:
    """Records without running, and runs at a replay: what reads other memory then is found out."""

    def __init__(self):
        self.recorded = self.replays = 0

    def beside(self, run):
        return run()

    def __call__(self, run):
        self.recorded += 1
        results = {}

        def replay():
            self.replays += 1
            results.update(run())

        return replay, results


def test_replayed_parts_train_the_same_adapter(tiny, tmp_path, pictures, monkeypatch):
    """Bit for bit: weights, statistic and log, with dropped captions and two parts to a step."""
    save_bundle(tiny, tmp_path / "model")
    given = TrainSmooth(
        model=str(tmp_path / "model"),
        data=str(pictures),
        out=tmp_path / "plain",
        **{"steps": 5, "batch": 4, "accumulate": 2, "rate": 0.01, "rank": 2, "device": "cpu"},
        **{"drop_caption": 0.3, "log_every": 1, "sample_every": 0},
    )
    train(given)
    late, made = Late(), Loop.__init__

    def with_graphs(loop, *args):
        made(loop, *args)
        loop.graphs = Graphs(loop._compute, late)

    monkeypatch.setattr(Loop, "__init__", with_graphs)
    train(replace(given, out=tmp_path / "graph"))
    assert late.recorded == 1 and late.replays == 5 * 2 - WARM
    one, other = (
        [
            {name: value for name, value in record.items() if name not in TIMES}
            for record in read_log(tmp_path / out / "log.jsonl")
        ]
        for out in ("plain", "graph")
    )
    assert one == other
    plain, graph = (
        (tmp_path / out / "smooth_lora.safetensors").read_bytes() for out in ("plain", "graph")
    )
    assert plain == graph


@pytest.mark.parametrize("command", ["train-smooth", "train-isometric"])
def test_graphs_are_refused_on_a_cpu_in_one_line(command, tmp_path, pictures, capsys):
    words = ["--out", str(tmp_path / "out"), "--data", str(pictures), "--device", "cpu", "--graph"]
    assert main([command, *words]) == 2
    err = capsys.readouterr().err
    assert "graph: got device cpu, wanted a CUDA GPU; leave --graph out" in err
    assert err.strip().count("\n") == 0
