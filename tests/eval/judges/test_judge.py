"""How good a judge is: a judge that knows colours, and a run on the embedded one."""

import json

import pytest
import torch
from PIL import Image
from torch import Tensor

from latentgeo.core.run.main import main
from latentgeo.eval.judges.judge import (
    QUESTIONS,
    Pairs,
    answers,
    constant,
    directions,
    read_pairs,
    retrieved,
    right,
)
from latentgeo.models.judges.judge import Judge


class Colours:
    """Encoders of which one sees the mean colour and the other reads its name."""

    words = ("red", "green", "blue")

    def image_features(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    def text_features(self, tokens: Tensor) -> Tensor:
        return tokens.float()


def by_name(texts: list[str]) -> Tensor:
    """Return 1 where a text has the word."""
    return torch.tensor([[float(word in text) + 0.01 for word in Colours.words] for text in texts])


JUDGE = Judge(name="colours", pair=Colours(), tokenizer=by_name, device=torch.device("cpu"))


def plain(*channels: int) -> Tensor:
    """Images (N, 3, 5, 5), each of one colour."""
    x = torch.zeros(len(channels), 3, 5, 5)
    x[range(len(channels)), list(channels)] = 1
    return x


def test_answers_and_what_is_right():
    question = QUESTIONS["glasses"]
    found = ["glasses", "none", "sunglasses", "none"]
    wanted = ["round glasses", "none", "none", "glasses"]
    assert right(question, found, wanted) == [True, True, False, False]
    assert right(QUESTIONS["hair colour"], ["red", "pink"], ["red", "blond"]) == [True, False]
    assert constant(question, ["none", "glasses", "sunglasses", "none", "none"]) == 0.6
    assert constant(QUESTIONS["smile"], ["sad"] * 3 + ["smiling"]) == 0.75


def test_the_nearest_prompt_answers():
    colours = {"crimson": "red hair", "sea": "blue hair", "grass": "green hair"}
    question = type(QUESTIONS["beard"])(attribute="hair_colour", prompts=colours)
    seen = JUDGE.images(plain(2, 0, 0, 1))
    assert answers(JUDGE, question, seen) == ["sea", "crimson", "crimson", "grass"]


def test_retrieval_of_known_pairs():
    eye = torch.eye(7)
    assert retrieved(eye, eye) == 7
    assert retrieved(eye, eye[[1, 0, 2, 3, 4, 5, 6]]) == 5


def test_directions_of_known_edits():
    """Asyrp Eq. 17: red to blue is its text's direction, and the opposite of blue to red's."""
    pairs = Pairs(
        before=plain(0, 2, 0),
        after=plain(2, 0, 1),
        changes=("blue", "red", "blue"),
        texts={"blue": ("red", "blue"), "red": ("blue", "red")},
    )
    similarity, hits = directions(JUDGE, pairs)
    torch.testing.assert_close(similarity, torch.tensor([1.0, 1.0, 0.5]), rtol=0, atol=0.01)
    assert hits == [True, True, True]


def test_pairs_on_disk(tmp_path):
    with pytest.raises(FileNotFoundError, match="render-pairs writes it"):
        read_pairs(tmp_path, 8)
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8), (0, 0, 255)).save(tmp_path / "b.png")
    row = {"change": "blue", "images": ["a.png", "b.png"], "texts": ["red", "blue"]}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    found = read_pairs(tmp_path, 8)
    assert found.changes == ("blue",) and found.texts == {"blue": ("red", "blue")}
    assert found.after[0, 2].min() == 1 and found.before[0, 2].max() == -1
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="not a list of pairs"):
        read_pairs(tmp_path, 8)


def test_command_measures_the_embedded_judge(tmp_path, capsys):
    """Of every question there is a number; smiles, hair and captions are told far above chance."""
    words = ["eval-judge", "--out", str(tmp_path), "--n-images", "128", "--captions", "32"]
    assert main(words) == 0
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    found = {row["metric"].split(" (")[0]: row["value"] for row in results}
    assert {*QUESTIONS} < {*found}
    assert found["smile"] > 0.85 and found["hair colour"] > 0.9 and found["mouth"] > 0.6
    assert found["caption of 1 image among 32"] > 0.5
    assert "avatars" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--n-images", "--captions"])
def test_a_judge_needs_two_images(option, tmp_path, capsys):
    assert main(["eval-judge", "--out", str(tmp_path), option, "1"]) == 2
    assert f"{option} must" in capsys.readouterr().err
