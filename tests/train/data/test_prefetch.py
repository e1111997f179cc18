"""Reading ahead changes neither the batches nor where a run resumes."""

import threading

import pytest
import torch
from PIL import Image

from latentgeo.train.data.prefetch import Prefetch
from latentgeo.train.data.stream import Batches, open_source


@pytest.fixture
def batches(tmp_path):
    """Return a function that opens the same seven examples anew."""
    for i in range(7):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"c{i}")
    return lambda: Batches(open_source(str(tmp_path), 8), 3, seed=1)


def take(source, n):
    return [next(source)[1] for _ in range(n)]


def test_batches_and_states_are_the_same(batches):
    """The state counts what was taken, not what was read; going back drops the rest."""
    straight, ahead = take(batches(), 12), Prefetch(batches())
    threads = threading.active_count()
    states = []
    for expected in straight[:6]:
        assert next(ahead)[1] == expected
        states.append(ahead.state()["position"])
    assert states == [3, 6, 9, 12, 15, 18]
    ahead.load_state(ahead.state() | {"position": 6})
    assert take(ahead, 4) == straight[2:6]
    ahead.close()
    assert threading.active_count() == threads
    assert take(ahead, 2) == straight[6:8], "closing loses nothing"
    ahead.close()


def test_images_are_the_same(batches):
    """Pixels as well as captions."""
    ahead = Prefetch(batches(), depth=1)
    for _, (images, _) in zip(range(4), batches(), strict=False):
        assert torch.equal(next(ahead)[0], images)
    ahead.close()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_the_thread_met_is_raised_where_the_batch_is_wanted(tmp_path):
    """An error ends the run, not the thread alone; asking again says the same."""
    (tmp_path / "0.png").write_bytes(b"broken")
    (tmp_path / "0.txt").write_text("x")
    ahead = Prefetch(Batches(open_source(str(tmp_path), 8), 1))
    for _ in range(2):
        with pytest.raises(ValueError, match="no usable example"):
            next(ahead)
    with pytest.raises(ValueError, match="depth"):
        Prefetch(ahead.batches, 0)
    with pytest.warns(UserWarning, match="skipped 1 item: 1 not a supported image"):
        ahead.close()
