"""Decoding: what is converted, to which pixels, and what is refused with which reason."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.infer.data.images import Framing, decode, fit
from latentgeo.infer.data.items import BadItem

FRAMING = Framing(size=11)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width, height, channels=3, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return Image.fromarray(pixels.squeeze())


def pixel(data):
    image = Framing(size=8).tensor(data, "x")
    assert image.shape == (3, 8, 8) and image.dtype == torch.uint8
    assert (image == image[:, :1, :1]).all()
    return tuple(image[:, 0, 0].tolist())


def png_header(width, height):
    """A PNG whose header claims a size that its data does not have."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 10)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def reason(data, framing=FRAMING):
    with pytest.raises(BadItem) as caught:
        framing.tensor(data, "folder/a.png")
    assert str(caught.value).startswith(f"folder/a.png: {caught.value.reason}")
    return caught.value.reason


def test_shorter_side_of_size_keeps_exact_pixels():
    """No resampling where none is needed, and the crop is centred."""
    image = noise(17, 11)
    expected = torch.from_numpy(np.array(image)[:, 3:14]).permute(2, 0, 1)
    assert torch.equal(FRAMING.tensor(encode(image), "x"), expected)


def test_resize_is_antialiased_and_keeps_the_mean():
    """A checkerboard of single pixels becomes grey; a decimating resize would alias."""
    board = np.indices((64, 64)).sum(0) % 2 * 255
    image = fit(Image.fromarray(board.astype(np.uint8)).convert("RGB"), FRAMING)
    inner = image[:, 2:-2, 2:-2].float()
    assert (inner - 127.5).abs().max() < 6


def test_equals_resizing_first_away_from_the_border():
    """Cropping the square first is the usual resize and centre crop, without the long side."""
    ramp = np.linspace(0, 255, 60 * 30).reshape(30, 60).astype(np.uint8)
    image = Image.fromarray(ramp).convert("RGB")
    resized = np.array(image.resize((20, 10), Image.Resampling.LANCZOS))[:, 5:15]
    got = fit(image, Framing(size=10)).permute(1, 2, 0).numpy()
    assert np.abs(got[:, 1:-1].astype(int) - resized[:, 1:-1]).max() <= 1


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("RGB", (10, 20, 30), "PNG", (10, 20, 30)),
        ("L", 77, "PNG", (77, 77, 77)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("RGBA", (200, 100, 0, 0), "PNG", (255, 255, 255)),
        ("RGBA", (200, 100, 0, 51), "PNG", (244, 224, 204)),  # 0.2 colour + 0.8 white
        ("LA", (0, 51), "PNG", (204, 204, 204)),
        ("I;16", 0x8000, "PNG", (128, 128, 128)),
        ("I;16", 0xFFFF, "PNG", (255, 255, 255)),
        ("I", 0x4000, "TIFF", (64, 64, 64)),
        ("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0)),
        ("CMYK", (0, 0, 0, 255), "TIFF", (0, 0, 0)),
        ("RGB", (1, 2, 3), "BMP", (1, 2, 3)),
    ],
)
def test_modes_become_rgb(mode, colour, kind, expected):
    """Grey, bits, transparency on white, 16 bits and CMYK have the colour that they mean."""
    assert pixel(encode(Image.new(mode, (9, 9), colour), kind)) == expected


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("keep", [0.05, 0.5, 0.95])
def test_truncated_files_are_refused(kind, keep):
    """Half a picture is never used, whatever its format."""
    data = encode(noise(32, 32), kind)
    assert reason(data[: int(len(data) * keep)]) in ("damaged image", "not a supported image")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_random_damage_never_escapes():
    """Bytes overwritten at random give a picture or a BadItem and no other exception."""
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF"):
        whole = encode(noise(24, 24), kind)
        for _ in range(60):
            data = bytearray(whole)
            for at in rng.integers(0, len(data), 4):
                data[at] = rng.integers(256)
            try:
                assert FRAMING.tensor(bytes(data), "x").shape == (3, 11, 11)
            except BadItem:
                pass


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty file"),
        (b"no image at all", "not a supported image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a supported image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a supported image"),
        (encode(Image.new("RGB", (1, 1))), "too small"),
        (encode(Image.new("RGB", (7, 400))), "too small"),
        (encode(Image.new("RGB", (9, 73))), "extreme aspect ratio"),
        (encode(Image.new("F", (9, 9), 1.5), "TIFF"), "pixels of unknown range"),
        (encode(Image.new("I", (9, 9), 1 << 20), "TIFF"), "pixels of unknown range"),
        (png_header(12000, 12000), "too many pixels"),
        (png_header(50000, 50000), "too many pixels"),
        (png_header(20, 20), "damaged image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_cannot_be_used_has_a_reason(data, expected):
    """Every refusal names the file and has a reason to be counted by."""
    assert reason(data) == expected


def test_bomb_is_refused_from_its_header(monkeypatch):
    """Nothing is decoded of a picture that claims too many pixels."""
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    assert reason(png_header(100, 90), Framing(size=8, max_pixels=8999)) == "too many pixels"


def test_aspect_and_side_limits_are_inclusive():
    """8 x 64 is the most extreme picture that the defaults accept."""
    assert decode(encode(noise(64, 8)), "x", FRAMING).size == (64, 8)


def test_random_crop_and_flip_follow_the_draw():
    """The same draw gives the same crop; crops are windows of the picture; no draw is centred."""
    image = noise(29, 11)
    data, pixels = encode(image), torch.from_numpy(np.array(image)).permute(2, 0, 1)
    windows = [pixels[:, :, left : left + 11] for left in range(19)]
    framing = Framing(size=11, random_crop=True)
    crops = [framing.tensor(data, "x", random.Random(seed)) for seed in range(40)]
    lefts = [next(i for i, w in enumerate(windows) if torch.equal(w, crop)) for crop in crops]
    assert len(set(lefts)) > 9
    assert torch.equal(crops[3], framing.tensor(data, "x", random.Random(3)))
    assert torch.equal(framing.tensor(data, "x"), windows[9])
    flips = [Framing(size=11, flip=True).tensor(data, "x", random.Random(i)) for i in range(20)]
    mirrored = sum(torch.equal(flip, windows[9].flip(2)) for flip in flips)
    assert 0 < mirrored < 20 and all(
        torch.equal(flip, windows[9]) or torch.equal(flip, windows[9].flip(2)) for flip in flips
    )


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 8, "max_aspect": 0.5}])
def test_framing_checks_its_values(wrong):
    """A framing that makes no sense is refused when it is made."""
    with pytest.raises(ValueError, match="at least 1"):
        Framing(**wrong)
