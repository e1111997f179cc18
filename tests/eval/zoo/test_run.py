"""A chain that is done, stopped, gone on with, and changed: only what depends on it is done again.

Most commands here are a stand-in that writes its words, so that a chain takes no second.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from latentgeo.core.run.main import main
from latentgeo.eval.zoo import run
from latentgeo.eval.zoo.run import Steps, run_zoo
from latentgeo.eval.zoo.settings import Zoo

CHAIN = """
[[step]]
name = "faces"
part = "data"
minutes = 0.1
command = "render-avatars"
options = { count = COUNT }

[[step]]
name = "vae"
part = "autoencoder"
minutes = 0.1
command = "train-vae"
config = "RECIPE"
options = { data = "{faces}" }

[[step]]
name = "judge"
part = "judges"
minutes = 0.1
command = "train-judge"
options = { data = "{faces}" }

[[step]]
name = "longer"
part = "judges"
minutes = 0.1
command = "train-judge"
continues = "judge"
options = { data = "{faces}", steps = 5000 }

[[step]]
name = "models"
part = "models"
minutes = 0.1
files = { "avatars/vae" = "{vae}/result" }

[[step]]
name = "quality"
part = "measure"
minutes = 0.1
command = "eval-quality"
options = { models = ["{models}/avatars"], n_images = 10 }
embed = { "result" = "avatars/copied.txt" }
"""
WORKS = """
import json, pathlib, sys
words = sys.argv[1:]
place = pathlib.Path(words[words.index("--out") + 1])
recipe = pathlib.Path(words[words.index("--config") + 1]).read_text() if "--config" in words else ""
(place / "result").write_text(words[0] + recipe.partition("#")[0])
if words[0] == "train-judge":
    with (place / "runs").open("a") as file:
        print(place.name, file=file)
row = {"paper": "", "metric": "ISTD", "model": "avatars", "value": 0.25, "interval": [0.2, 0.3],
       "n": 7, "seed": 0, "settings": {}}
(place / "results.json").write_text(json.dumps({"results": [row]}))
"""


class Stand:
    """A chain in a folder, and what was done of it."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.done, self.code = folder, [], WORKS
        self.cmd = Zoo(out=folder / "out", chain=str(folder / "chain.toml"))
        monkeypatch.setattr(run, "launched", self.launched)
        self.write()

    def write(self, recipe="steps = 9\n", count=3):
        path = self.folder / "recipe.toml"
        path.write_text(recipe)
        chain = CHAIN.replace("RECIPE", path.as_posix()).replace("COUNT", str(count))
        (self.folder / "chain.toml").write_text(chain)

    def launched(self, words, log):
        self.done.append(words)
        with log.open("ab") as file:
            start = [sys.executable, "-S", "-c", self.code, *words]
            return subprocess.Popen(start, stdout=file, stderr=file)

    def run(self, **options):
        """Return the steps whose command ran."""
        self.done = []
        run_zoo(replace(self.cmd, **options))
        return [words[words.index("--out") + 1].rpartition(os.sep)[2] for words in self.done]


@pytest.fixture
def stand(tmp_path, monkeypatch):
    return Stand(tmp_path, monkeypatch)


def test_all_is_done_once_and_a_change_does_again_what_depends_on_it(stand):
    assert stand.run() == ["faces", "vae", "judge", "longer", "quality"]
    assert stand.run() == []
    stand.write(recipe="steps = 8\n")
    assert stand.run() == ["vae", "quality"]
    stand.write(recipe="steps = 8\n# a remark, after which the result is the same\n")
    assert stand.run() == ["vae"]
    stand.write(recipe="steps = 8\n# a remark, after which the result is the same\n", count=4)
    assert stand.run() == ["faces"]  # which came out the same
    (stand.cmd.out / "judge" / "result").write_text("spoiled")
    assert stand.run() == ["judge"]
    page = (stand.cmd.out / "report.html").read_text()
    assert "6 of 6 steps" in page and "ISTD" in page and "latentgeo train-vae --config" in page


def test_a_step_goes_on_with_the_run_of_another(stand):
    stand.run(only=("data", "judges"))
    assert (stand.cmd.out / "judge" / "runs").read_text() == "judge\n"
    assert (stand.cmd.out / "longer" / "runs").read_text() == "judge\nlonger\n"


def test_parts_need_what_they_read(stand):
    with pytest.raises(ValueError, match=r"only: vae needs the result of faces, which .* do faces"):
        stand.run(only=("autoencoder",))
    assert stand.run(only=("data",)) == ["faces"]
    assert stand.run(from_="autoencoder") == ["vae", "judge", "longer", "quality"]


def test_the_plan_says_what_would_be_done(stand):
    stand.run(only=("data",))
    assert run_zoo(replace(stand.cmd, plan=True)) == [
        "data           faces        0:06  stands\n"
        "autoencoder    vae          0:06  new\n"
        "judges         judge        0:06  new\n"
        "judges         longer       0:06  after judge\n"
        "models         models       0:06  after vae\n"
        "measure        quality      0:06  after models\n"
        "5 of 6 steps are to be done: about 0:30 on the machine that the chain is for"
    ]
    assert not (stand.cmd.out / "vae").exists()


def test_a_failure_names_the_step_and_shows_its_end(stand, capsys):
    stand.code = "raise SystemExit('the end of its output')"
    with pytest.raises(RuntimeError, match=r"step faces: its command ended with 1: .*faces\.txt"):
        stand.run()
    assert "the end of its output" in capsys.readouterr().err
    stand.code = WORKS
    assert stand.run(only=("data",)) == ["faces"]


def test_the_line_of_progress_has_the_last_of_the_steps_own(tmp_path):
    (tmp_path / "vae.txt").write_text("one\ntrain: 34%, 17/50\n")
    with Steps({"vae": 60.0, "judge": 60.0}) as line:
        line.logs = tmp_path
        with line.section("vae"):
            assert line.text(False).endswith("train: 34%, 17/50") and "1 of 2: vae" in line.text(
                False
            )
        assert "34%" not in line.text(False)


SLOW = """
import pathlib, sys, time
place = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
(place / "checkpoints" / "step-1").mkdir(parents=True)
time.sleep(60)
"""


def test_a_piece_ends_and_the_same_command_goes_on(stand):
    stand.code = SLOW
    (said,) = run_zoo(replace(stand.cmd, piece=0.01))
    assert "0.01 minutes are over; to go on:\n    latentgeo zoo --out" in str(said)
    assert run_zoo(replace(stand.cmd, plan=True))[0].splitlines()[0].endswith("goes on")
    stand.code = WORKS
    assert stand.run(only=("data",)) == ["faces"] and stand.done[0][-1] == "--resume"


def test_a_signal_ends_the_command_too(stand, capsys):
    stand.code = SLOW
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SystemExit):
        stand.run()
    assert "stopped; to go on:\n    latentgeo zoo" in capsys.readouterr().err
    assert json.loads((stand.cmd.out / "state" / "faces.json").read_text())["minutes"] > 0


def test_pages_get_the_numbers_of_the_embedded_models(stand):
    root = stand.folder / "tree"
    (root / "models" / "zoo" / "avatars").mkdir(parents=True)
    page = root / "README.md"
    page.write_text("ISTD <!--=quality.istd.avatars-->0.00 [0.0, 0.0]<!--/--> <!--=x.y-->1<!--/-->")
    assert stand.run(embedded=True, pages=root) == ["quality"]
    assert stand.done[0][2] == "avatars"
    assert "-->0.25 [0.2, 0.3]<!--/--> <!--=x.y-->1<" in page.read_text()
    kept = json.loads((root / "models/zoo/avatars/numbers.json").read_text())["quality"]
    assert kept["numbers"] == {"istd.avatars": [0.25, 0.2, 0.3, 7]} and kept["commit"]
    assert (root / "models/zoo/avatars/copied.txt").read_text() == "eval-quality"


def test_pages_are_of_a_tree_and_of_embedded_models(tmp_path):
    with pytest.raises(ValueError, match="pages: got a tree without --embedded"):
        Zoo(out=tmp_path, pages=tmp_path)
    with pytest.raises(FileNotFoundError, match="is no source tree: it has no models/zoo"):
        run_zoo(Zoo(out=tmp_path, embedded=True, pages=tmp_path))


TINY = """
[[step]]
name = "vae"
part = "autoencoder"
minutes = 0.1
command = "train-vae"
[step.options]
data = "DATA"
preset = "tiny"
size = 16
batch = 2
steps = 3
warm_up = 2
scale_images = 2
perceptual_weight = 0.0
sample_every = 1
"""


def test_a_real_training_is_in_the_page(tiny, tmp_path, capsys):
    path = tmp_path / "chain.toml"
    path.write_text(TINY.replace("DATA", str(tiny.data)))
    words = ["zoo", "--out", str(tmp_path / "out"), "--chain", str(path), "--device", "cpu"]
    assert main(words) == 0, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "out" / "report.html") and "1 of 1 steps" in err
    page = (tmp_path / "out" / "report.html").read_text()
    assert "samples of vae" in page and "<svg" in page
    assert (tmp_path / "out" / "vae" / "vae.safetensors").is_file()
