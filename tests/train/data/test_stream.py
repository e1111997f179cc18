"""The stream of batches: epochs, ranks, exact resume, and bad items."""

import io
import json
import tarfile
import warnings
from collections import Counter
from itertools import chain, islice

import pytest
import torch
from PIL import Image

from latentgeo.train.data.stream import Batches, Example, collate, open_source


def png(value=0, width=8):
    file = io.BytesIO()
    Image.new("RGB", (width, 8), (value, 0, value)).save(file, "PNG")
    return file.getvalue()


def make_folder(path, n, bad=()):
    path.mkdir()
    for i in range(n):
        (path / f"{i:03d}.png").write_bytes(b"broken" if i in bad else png(i))
        (path / f"{i:03d}.txt").write_text(f"c{i}")
    return path


def make_shards(path, sizes, bad=()):
    path.mkdir()
    numbers = iter(range(sum(sizes)))
    for k, size in enumerate(sizes):
        with tarfile.open(path / f"{k:02d}.tar", "w") as tar:
            for i in islice(numbers, size):
                for suffix, body in (("png", png(i)), ("txt", f"c{i}".encode())):
                    body = b"broken" if i in bad and suffix == "png" else body
                    info = tarfile.TarInfo(f"{i:03d}.{suffix}")
                    info.size = len(body)
                    tar.addfile(info, io.BytesIO(body))
    return path


@pytest.fixture(params=["folder", "one shard", "shards"])
def eleven(request, tmp_path):
    """Eleven examples, two of them broken, as each kind of source."""
    if request.param == "folder":
        return str(make_folder(tmp_path / "d", 11, bad=(2, 7)))
    sizes = (11,) if request.param == "one shard" else (4, 4, 3)
    return str(make_shards(tmp_path / "d", sizes, bad=(2, 7)))


def opened(spec, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_source(spec, 8, **options)


def take(batches, n):
    """Take n batches; an example is known by its caption, which must fit its pixels."""
    captions = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n):
            images, texts = next(batches)
            values = ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
            assert [f"c{value}" for value in values] == texts
            captions.append(texts)
    return captions


def flat(lists):
    return list(chain.from_iterable(lists))


def test_batches_are_float_images_and_captions(tmp_path):
    """(B, 3, H, W) float32 in [-1, 1]: black is -1, white is 1."""
    batches = Batches(open_source(str(make_folder(tmp_path / "d", 3)), 5), 2)
    images, captions = next(batches)
    assert images.shape == (2, 3, 5, 5) and images.dtype == torch.float32
    assert len(captions) == 2 and (images[:, 1] == -1).all()
    white = Example(torch.full((3, 2, 2), 255, dtype=torch.uint8), "", "")
    assert (collate([white])[0] == 1).all()
    half = Example(torch.full((3, 2, 2), 0.5, dtype=torch.float64), "", "")
    assert (collate([half])[0] == 0.5).all(), "floating point is in [-1, 1] already"


def test_an_epoch_is_a_permutation(tmp_path):
    """Batches run across epochs; each run of n samples is a new permutation of all."""
    source = open_source(str(make_folder(tmp_path / "d", 7)), 8)
    order = flat(take(Batches(source, 3, seed=5), 7))
    epochs = [order[k : k + 7] for k in (0, 7, 14)]
    assert all(sorted(epoch) == [f"c{i}" for i in range(7)] for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert order == flat(take(Batches(source, 3, seed=5), 7))
    assert order != flat(take(Batches(source, 3, seed=6), 7))
    fixed = Batches(source, 3, shuffle=False)
    assert flat(take(fixed, 3)) == [f"c{i % 7}" for i in range(9)]


@pytest.mark.parametrize("kind", ["folder", "one shard"])
@pytest.mark.parametrize("bad", [(), (0, 3, 4)])
def test_ranks_see_together_what_one_rank_sees(tmp_path, kind, bad):
    """W ranks with batch B are one rank with batch W B, bad items or not."""
    if kind == "folder":
        spec = make_folder(tmp_path / "d", 7, bad)
    else:
        spec = make_shards(tmp_path / "d", (7,), bad)
    one = take(Batches(opened(str(spec)), 6, seed=1), 9)
    parts = [take(Batches(opened(str(spec)), 2, 1, rank, 3), 9) for rank in range(3)]
    assert one == [flat(step) for step in zip(*parts, strict=True)]


def test_ranks_with_shards_of_their_own_miss_nothing(tmp_path):
    """With shards enough two ranks see every example once while each takes half of them."""
    source = open_source(str(make_shards(tmp_path / "d", (2, 2, 2, 2))), 8)
    steps = [flat(take(Batches(source, 1, 3, rank, 2), 12)) for rank in range(2)]
    for k in (0, 4, 8):
        assert sorted(steps[0][k : k + 4] + steps[1][k : k + 4]) == [f"c{i}" for i in range(8)]


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("at", [0, 1, 5, 13])
def test_resume_is_exact(eleven, world, at):
    """From the state after `at` steps, saved by rank 0, every rank goes on as if never stopped."""
    for rank in range(world):
        straight = take(Batches(opened(eleven), 3, 2, rank, world), 17)
        first = Batches(opened(eleven), 3, 2, 0, world)
        take(first, at)
        state = json.loads(json.dumps(first.state()))
        resumed = Batches(opened(eleven), 3, 2, rank, world)
        resumed.load_state(state)
        assert take(resumed, 17 - at) == straight[at:]


def test_position_is_a_starting_point(eleven):
    """The argument does what load_state does."""
    assert (
        take(Batches(opened(eleven), 2, position=8), 3) == take(Batches(opened(eleven), 2), 7)[4:]
    )


def test_resume_with_other_ranks_keeps_the_order(tmp_path):
    """A common order does not care how many ranks and samples a step had before."""
    source = open_source(str(make_folder(tmp_path / "d", 7)), 8)
    order = flat(take(Batches(source, 1, seed=4), 30))
    two = Batches(source, 3, 4, rank=0, world=2)
    take(two, 2)
    one = Batches(source, 2, 4)
    one.load_state(two.state())
    assert flat(take(one, 3)) == order[12:18]


def test_states_of_other_data_are_refused(tmp_path):
    """Another number of items, another seed, another split of shards: each named."""
    source = open_source(str(make_folder(tmp_path / "d", 3)), 8)
    shards = open_source(str(make_shards(tmp_path / "s", (2, 2, 2))), 8)
    batches = Batches(source, 1, seed=1)
    with pytest.raises(ValueError, match="seed = 2, here it is 1"):
        batches.load_state(Batches(source, 1, seed=2).state())
    with pytest.raises(ValueError, match="items = 4, here it is 3"):
        batches.load_state(batches.state() | {"items": 4})
    with pytest.raises(ValueError, match="lanes = 2, here it is 3"):
        Batches(shards, 1, 0, 0, 3).load_state(Batches(shards, 1, 0, 0, 2).state())


def test_random_crops_resume_too(tmp_path):
    """The draw of a crop belongs to the seed and the position, not to a running generator."""
    folder = tmp_path / "d"
    folder.mkdir()
    wide = Image.new("RGB", (60, 8))
    wide.putdata([(x * 4, y, 0) for y in range(8) for x in range(60)])
    wide.save(folder / "a.png")
    (folder / "a.txt").write_text("a")
    source = open_source(str(folder), 8, random_crop=True, flip=True)
    straight = torch.stack([next(Batches(source, 1, position=n))[0] for n in range(12)])
    batches = Batches(source, 4, position=4)
    assert torch.equal(next(batches)[0], straight[4:8, 0])
    assert len({float(image.sum()) for image in straight}) > 6
    assert not torch.equal(next(Batches(source, 4, seed=1, position=4))[0], straight[4:8, 0])


def test_bad_items_are_replaced_by_the_next_good_one(eleven):
    """Every step is full; each bad item is warned about once, counted once, and never seen."""
    source = opened(eleven)
    with pytest.warns(UserWarning, match="not a supported image") as caught:
        captions = [next(batches) for batches in [Batches(source, 3)] for _ in range(40)]
    assert len(caught) == 1
    seen = Counter(text for _, texts in captions for text in texts)
    assert set(seen) == {f"c{i}" for i in range(11)} - {"c2", "c7"}
    assert min(seen.values()) >= 10, "120 samples of 11: every good one comes in every epoch"
    assert source.bad == {"not a supported image": 2}
    with pytest.warns(UserWarning, match="skipped 2 items: 2 not a supported image"):
        Batches(source, 3).close()


def test_fail_names_the_bad_item(eleven):
    """on_bad="fail" ends the run with a ValueError that names the file and the reason."""
    with pytest.raises(ValueError, match=r"00[27]\.png: not a supported image"):
        for _, _ in zip(range(11), Batches(open_source(eleven, 8, "fail"), 1), strict=False):
            pass


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("kind", ["folder", "shards"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_bad_is_an_error(tmp_path, kind, world):
    """When no item can be used the run ends; it does not search forever."""
    if kind == "folder":
        spec = make_folder(tmp_path / "d", 4, bad=range(4))
    else:
        spec = make_shards(tmp_path / "d", (2, 2), bad=range(4))
    with pytest.raises(ValueError, match=r"no usable example\. skipped . items: . not a supp"):
        next(Batches(opened(str(spec)), 2, world=world))


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"seed": -1}, {"rank": 2, "world": 2}, {"position": -1}]
)
def test_arguments_are_checked(tmp_path, wrong):
    """A size, rank or seed that makes no sense is refused at once."""
    source = open_source(str(make_folder(tmp_path / "d", 1)), 8)
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        Batches(source, **{"batch": 1} | wrong)
