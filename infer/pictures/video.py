"""MP4 by the program ffmpeg, where there is one."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from latentgeo.infer.pictures.images import enlarge


def find_ffmpeg() -> str:
    """Return where ffmpeg is; FileNotFoundError in words if it is not on PATH."""
    found = shutil.which("ffmpeg")
    if found is None:
        raise FileNotFoundError("ffmpeg is not on PATH: --mp4 needs it, the GIFs do without")
    return found


def save_mp4(path: Path, pictures: Sequence[Image.Image], seconds: float = 4.0) -> Path:
    """Write the pictures as a video (H.264) that lasts `seconds`; the file is replaced atomically.

    Raises FileNotFoundError without ffmpeg, RuntimeError with its last words where it fails.
    """
    program = find_ffmpeg()
    frames = [enlarge(picture) for picture in pictures]
    width, height = frames[0].size
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [
        *[program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"],
        *["-s", f"{width}x{height}", "-r", f"{len(frames) / seconds:g}", "-i", "-"],
        *["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", str(temporary)],
    ]
    try:
        content = b"".join(frame.tobytes() for frame in frames)
        done = subprocess.run(command, input=content, capture_output=True, check=False)
        if done.returncode or not temporary.is_file():
            words = " ".join(done.stderr.decode("utf-8", "replace").split()[-40:])
            raise RuntimeError(f"ffmpeg failed with status {done.returncode}: {words}")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
