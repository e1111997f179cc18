"""`latentgeo directions`, from the command line to the files, on tiny models of every kind."""

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from latentgeo.core.local_basis import arc
from latentgeo.core.run.main import main
from latentgeo.core.shooting import transported
from latentgeo.infer.directions.run import basis_at, noisy_image, shot, square, traversed
from latentgeo.infer.directions.settings import Directions
from latentgeo.infer.pictures.images import read_metadata, to_picture
from latentgeo.infer.sampling.pipeline import image_noise
from latentgeo.infer.sampling.unprompted import ImageSampling, generate_images
from latentgeo.models.bundles.image_model import save_image_model
from tests.models.bundles.test_image_model import CONFIGS, made

STEPS = 3


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("directions")
    for name in ("ddpm", "adm"):
        save_image_model(made(CONFIGS[name]), folder / name)
    return folder


def command(**options) -> Directions:
    given = {"model": "x", "out": Path("unused"), "steps": STEPS, "count": 2, "seed": 5}
    return Directions(
        **{**given, "gammas": (-1.0, 0.0, 2.0), "shoot_rank": 2, "tolerance": 0.5, **options}
    )


def found(cmd, name="ddpm"):
    """Return the model, what is moved and its basis, at a loose tolerance."""
    model = made(CONFIGS[name])
    start = noisy_image(model, cmd, ImageSampling(steps=STEPS))
    return model, start, basis_at(model, cmd, start.x, start.visited[0], cmd.count)


def test_moves_are_arcs_of_the_sphere_along_the_basis():
    """Iso Sec. 4.3: γ degrees times --angle from x, towards v_i, at x's own norm."""
    cmd = command(angle=7.0)
    _, start, basis = found(cmd)
    assert torch.equal(start.x, image_noise(5, (3, 12, 12)))
    points, r = traversed(cmd, start.x, basis), start.x.norm()
    assert points.shape == (2, 3, 3, 12, 12)
    torch.testing.assert_close(points.flatten(2).norm(dim=2), r.expand(2, 3))
    for i in range(2):
        for j, gamma in enumerate(cmd.gammas):
            along = (points[i, j] * basis.right[0, i]).sum() / r
            assert along.item() == pytest.approx(math.sin(math.radians(7 * gamma)), abs=1e-4)
    straight = traversed(command(angle=7.0, move="line"), start.x, basis)
    step = math.radians(7.0) * r * basis.right[0]
    torch.testing.assert_close(straight[:, 2] - start.x, 2 * step, rtol=1e-4, atol=1e-5)


def test_the_square_has_the_directions_on_its_axes():
    """Iso Sec. C: γ_a down and γ_b across; where one is 0 it is a row of the other picture."""
    cmd = command(pair=(2, 1))
    _, start, basis = found(cmd)
    rows, both = traversed(cmd, start.x, basis), square(cmd, start.x, basis)
    torch.testing.assert_close(both[:, 1], rows[1])
    torch.testing.assert_close(both[1], rows[0])
    middle = start.x + 2 * math.radians(10) * start.x.norm() * basis.right[:, :2].sum(1)
    cosine = torch.cosine_similarity(
        both[2, 2].flatten() - start.x.flatten(), (middle - start.x).flatten(), 0
    )
    assert cosine > 0.95


def test_shooting_begins_along_the_arc_and_leaves_it():
    """Iso Sec. 4.3: its first step is the arc's; later ones are not, but on the sphere too."""
    cmd = command(shoot=1, gammas=(-1.0, 0.0, 1.0, 2.0, -2.0))
    model, start, basis = found(cmd)
    points, arcs = shot(model, cmd, start, basis), traversed(cmd, start.x, basis)
    torch.testing.assert_close(points[:, :3], arcs[:, :3])
    assert (points[:, 3:] - arcs[:, 3:]).flatten(2).norm(dim=2).min() > 1e-2
    torch.testing.assert_close(points.flatten(2).norm(dim=2), start.x.norm().expand(2, 5))
    ways = (points - start.x).flatten(2).norm(dim=2)
    assert (ways[:, 3:] > 1.5 * ways[:, [2, 0]]).all()  # a second step does not turn back


def test_two_steps_of_shooting_by_hand():
    """Iso Sec. 4.3: half of γ = 1 along v, then along v as carried to the basis there, at one t."""
    cmd = command(shoot=2, gammas=(0.5, 1.0, -1.0))
    model, start, basis = found(cmd)
    u, v = (torch.cat([side[0], -side[0]]) for side in (basis.left, basis.right))
    half = math.radians(cmd.angle) * start.x.norm() / 2
    first = arc(start.x.expand_as(v), half * v)
    _, v = transported(basis_at(model, cmd, first, start.visited[0], cmd.shoot_rank), u)
    second = arc(first, half * v)
    wanted = torch.stack([first[:2], second[:2], second[2:]], dim=1)
    torch.testing.assert_close(shot(model, cmd, start, basis), wanted)


def test_shooting_nowhere_is_the_noise():
    """Iso Sec. 4.3: γ = 0 alone takes no step; as many pictures as directions and γ."""
    cmd = command(shoot=1, gammas=(0.0, 0.0, 0.0))
    model, start, basis = found(cmd)
    points = shot(model, cmd, start, basis)
    assert torch.equal(points, start.x.expand(2, 3, 3, 12, 12))


def test_a_later_time_is_on_the_way_to_the_same_image():
    """What has been sampled to t and goes on from there is the image of the seed."""
    cmd, sampling = command(at=0.4), ImageSampling(steps=STEPS)
    model, start, _ = found(cmd)
    assert 0 < start.visited[0] < 668 and len(start.visited) == 3
    (rest,) = generate_images(model, start.x, sampling, [5], None, start.visited)
    (whole,) = generate_images(model, image_noise(5, (3, 12, 12)), sampling, [5])
    torch.testing.assert_close(rest, whole, rtol=0, atol=1e-5)


def run(model, out, *words: object) -> int:
    fixed = ["--steps", STEPS, "--count", 2, "--shoot-rank", 2, "--device", "cpu"]
    fixed += ["--tolerance", 0.5]
    start = ["directions", "--model", model, "--out", out, *fixed]
    return main([*map(str, [*start, *words])])


def test_files_of_a_run_and_of_its_repetition(places, tmp_path, capsys):
    words = ("--shoot", 1, "--gammas", -1, 0, 2, "--seed", 7, "--pair", 1, 2)
    assert run(places / "ddpm", tmp_path / "a", *words) == 0
    names = ["directions.png", "shooting.png", "combination.png", "directions.json"]
    assert [Path(line).name for line in capsys.readouterr().out.split()] == names
    facts = json.loads((tmp_path / "a" / "directions.json").read_text())
    assert facts["values"][0] >= facts["values"][1] > 0
    assert facts["seed"] == 7 and facts["gammas"] == [-1, 0, 2] and facts["seconds"]["basis"] > 0
    for kind in ("directions", "shooting"):
        for moved, cosine in zip(*facts[kind].values(), strict=True):
            assert moved[1] < 1e-3 < moved[0] and cosine[1] is None
            assert cosine[0] < 0 < cosine[2]  # along -u and along u
    assert read_metadata(tmp_path / "a" / "directions.png")["weights"] == facts["weights"]
    again = ["--config", str(tmp_path / "a" / "run.toml"), "--out", str(tmp_path / "b")]
    assert main(["directions", *again]) == 0
    for name in names[:3]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_middle_column_is_the_image_of_the_seed(places, tmp_path):
    words = ("--gammas", 0, "--label", 3, "--seed", 2)
    assert run(places / "adm", tmp_path, *words) == 0
    assert not (tmp_path / "combination.png").exists()
    model, seeds = made(CONFIGS["adm"]), [2]
    noise, labels = image_noise(2, model.shape), torch.tensor([3])
    (image,) = generate_images(model, noise, ImageSampling(steps=STEPS), seeds, labels)
    wanted = to_picture(image[0]).resize((100, 100), Image.Resampling.NEAREST)
    with Image.open(tmp_path / "directions.png") as sheet:
        left, top = sheet.width - 100, sheet.height - 204
        for row in range(2):
            box = (left, top + 104 * row, left + 100, top + 104 * row + 100)
            assert sheet.crop(box).tobytes() == wanted.tobytes()


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("ddpm", ("--count", 0), "count must be at least 1 and shoot not negative, got 0 and 0"),
        ("ddpm", ("--at", 0), "at must be in (0, 1], got 0.0"),
        ("ddpm", ("--angle", 91), "angle must be in (0, 90], got 91.0"),
        ("ddpm", ("--pair", 1, 3), "pair: got [1, 3], wanted none or two of 1 to 2"),
        ("ddpm", ("--gammas", "nan"), "gammas: got [nan], wanted finite numbers"),
        (
            "ddpm",
            ("--shoot", 1, "--gammas", 0.5),
            "--shoot: got 1, wanted whole steps to each of --gammas",
        ),
        (
            "ddpm",
            ("--shoot", 1, "--shoot-rank", 1),
            "--shoot-rank must be at least --count 2, got 1",
        ),
        ("ddpm", ("--label", 1), "label: got 1, wanted none: ddpm"),
        ("adm", (), "label: got None, wanted one of 0 to 4: adm"),
        ("adm", ("--label", -1), "label: got -1, wanted one of 0 to 4: adm"),
        ("ddpm+x", (), "no LoRA at x"),
        ("absent", (), "absent"),
    ],
)
def test_bad_input_is_one_line_and_status_2(places, tmp_path, capsys, name, words, message):
    assert run(places / name, tmp_path / "out", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0], lines
    assert not (tmp_path / "out").exists()
