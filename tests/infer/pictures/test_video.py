"""MP4: what ffmpeg is given, what is left when it fails, and a clear line without it."""

import os
import shutil

import pytest
from PIL import Image

from latentgeo.infer.pictures.video import find_ffmpeg, save_mp4

PICTURES = [Image.new("RGB", (96, 64), (i, 0, 0)) for i in range(5)]


def program(folder, body):
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_frames_go_through_a_pipe_as_raw_rgb(folder, monkeypatch):
    program(folder, 'echo "$@" > words\nfor last; do :; done\ncat > "$last"')
    monkeypatch.chdir(folder)
    path = save_mp4(folder / "out" / "a.mp4", PICTURES, seconds=2.5)
    raw = b"".join(picture.resize((192, 128), 0).tobytes() for picture in PICTURES)
    assert path.read_bytes() == raw
    words = (folder / "words").read_text()
    assert "-s 192x128 -r 2 -i -" in words and "yuv420p" in words
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]


def test_failure_is_told_in_ffmpegs_words_and_leaves_the_old_file(folder):
    program(folder, 'cat > /dev/null\nfor last; do :; done\necho half > "$last"\n'
                    'echo "no such codec" >&2\nexit 3')  # fmt: skip
    (folder / "a.mp4").write_text("old")
    with pytest.raises(RuntimeError, match="status 3: no such codec"):
        save_mp4(folder / "a.mp4", PICTURES)
    assert (folder / "a.mp4").read_text() == "old"
    assert sorted(file.name for file in folder.iterdir()) == ["a.mp4", "ffmpeg"]


def test_without_ffmpeg_the_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="ffmpeg is not on PATH: --mp4 needs it"):
        find_ffmpeg()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not on PATH")
def test_real_ffmpeg_writes_a_video(tmp_path):
    path = save_mp4(tmp_path / "a.mp4", PICTURES)
    assert path.read_bytes()[4:8] == b"ftyp"
