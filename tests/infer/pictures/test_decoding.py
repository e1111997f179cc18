"""Every mode and depth of a picture: the pixels of its 8-bit twin, or a refusal that names it."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentgeo.infer.pictures.decoding import Unreadable, read_labels, read_rgb, to_8_bits, to_rgb

TRIALS = Path(__file__).parents[4] / "shared" / "trials" / "img"
HEIGHT, WIDTH = 11, 13
GREY = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
GREY[0, :3] = 0, 255, 1
WIDE = GREY.astype(np.uint16) * 257
COLOUR = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
ALPHA = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
PNG_TYPES = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def read(data, paper="white"):
    image = read_rgb(io.BytesIO(data), "a.png", paper)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def refusal(data):
    with pytest.raises(Unreadable, match=r"^a\.png: ") as caught:
        read(data)
    return str(caught.value)


def grey(levels=GREY):
    return np.repeat(levels[..., None], 3, axis=2).astype(int)


def over(colour, alpha, paper=255):
    """Straight alpha by its definition, in floating point."""
    share = alpha[..., None] / 255
    return share * colour + (1 - share) * paper


def png(kind, rows, depth=16, key=()):
    """A PNG of big-endian samples, and of a transparent colour, that Pillow does not write."""
    rows = rows.reshape(len(rows), -1)
    width = rows.shape[1] // len(kind)
    if depth < 8:
        bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
        packed = np.packbits(bits.reshape(len(rows), -1), axis=1)
    else:
        packed = rows.astype(">u2" if depth == 16 else "u1")
    body = b"".join(b"\0" + row.tobytes() for row in packed)
    head = struct.pack(">IIBBBBB", width, len(rows), depth, PNG_TYPES[kind], 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    if key:
        chunks.insert(1, (b"tRNS", struct.pack(f">{len(key)}H", *key)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def tiff(pixels, bits, photometric=1, sample=1, byte_order="<"):
    """An uncompressed grey TIFF, of any number of bits, kind of white and kind of number."""
    mark = {"<": b"II", ">": b"MM"}[byte_order]
    fields = [(256, WIDTH), (257, HEIGHT), (258, bits), (259, 1), (262, photometric), (273, 8)]
    fields += [(277, 1), (278, HEIGHT), (279, len(pixels)), (339, sample)]
    entries = b"".join(
        struct.pack(f"{byte_order}HHI", tag, 3, 1) + struct.pack(f"{byte_order}HH", value, 0)
        for tag, value in fields
    )
    pixels += b"\0" * (len(pixels) % 2)
    table = struct.pack(f"{byte_order}H", len(fields)) + entries + b"\0" * 4
    return mark + struct.pack(f"{byte_order}HI", 42, 8 + len(pixels)) + pixels + table


def twelve():
    """Rows of 12-bit grey, two pixels in three bytes, and the 8-bit twin."""
    levels = np.random.default_rng(3).integers(0, 4096, (HEIGHT, WIDTH))
    bits = (levels[..., None] >> np.arange(11, -1, -1)) & 1
    packed = np.packbits(bits.reshape(HEIGHT, -1).astype(np.uint8), axis=1)
    return packed.tobytes(), levels / 4095 * 255


def exchanged(kind):
    """Grey with white at 0, as samples of a kind."""
    return (np.iinfo(kind).max - WIDE).astype(kind).tobytes()


BYTE_ORDERS = {"I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "I;16N": "=u2"}
SIXTEEN = {
    "png": png("L", WIDE),
    "pillow": encode(Image.fromarray(WIDE)),
    "tiff": encode(Image.fromarray(WIDE), "TIFF"),
    "tiff, compressed": encode(Image.fromarray(WIDE), "TIFF", compression="tiff_lzw"),
    "tiff, big-endian": tiff(WIDE.astype(">u2").tobytes(), 16, byte_order=">"),
    "tiff, white is zero": tiff(exchanged("<u2"), 16, photometric=0),
    "jpeg 2000": encode(Image.fromarray(WIDE), "JPEG2000"),
    "pgm": b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + WIDE.astype(">u2").tobytes(),
    "32 bits": encode(Image.fromarray(WIDE.astype(np.int32)), "TIFF"),
    "floats": encode(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
    "floats, white is zero": tiff((1 - GREY / 255).astype("<f4").tobytes(), 32, 0, sample=3),
}


@pytest.mark.parametrize("kind", SIXTEEN)
def test_deep_grey_is_its_twin_of_8_bits(kind):
    """Level g of 255 is stored as 257 g, or as g / 255, and read as g."""
    assert (read(SIXTEEN[kind]) == grey()).all()


@pytest.mark.parametrize("mode", BYTE_ORDERS)
def test_byte_orders(mode):
    image = Image.frombytes(mode, (WIDTH, HEIGHT), WIDE.astype(BYTE_ORDERS[mode]).tobytes())
    assert (np.asarray(to_8_bits(image, "a")) == GREY).all()


def test_16_bits_are_rounded_and_dark_ones_stay_dark():
    """Values between levels go to the nearest; a picture of 16 bits is not stretched."""
    between = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)
    assert (read(png("L", between)) == grey(np.rint(between / 257))).all()
    assert (read(b"P5 1 1 65535\n\0\x80")[0, 0] == 0).all()


def test_12_bits_are_a_sixteenth_of_16():
    packed, levels = twelve()
    assert np.abs(read(tiff(packed, 12)) - grey(levels)).max() <= 1


def test_colours_of_16_bits_keep_their_upper_byte():
    """A 16-bit twin is exact; in between, Pillow's cut is within one level; alpha likewise."""
    assert (read(png("RGB", COLOUR.astype(int) * 257)) == COLOUR).all()
    deep = np.random.default_rng(4).integers(0, 1 << 16, COLOUR.shape)
    assert np.abs(read(png("RGB", deep)) - deep / 257).max() <= 1
    both = np.concatenate([COLOUR, ALPHA[..., None]], axis=2).astype(int) * 257
    assert np.abs(read(png("RGBA", both)) - over(COLOUR, ALPHA)).max() <= 1
    both = np.stack([GREY, ALPHA], axis=2).astype(int) * 257
    assert np.abs(read(png("LA", both)) - over(grey(), ALPHA)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("L", "PNG"),
        ("RGB", "PNG"),
        ("RGB", "BMP"),
        ("RGB", "PPM"),
        ("RGB", "WEBP"),
        ("CMYK", "TIFF"),
    ],
)
def test_8_bits_are_kept(mode, kind):
    image = Image.fromarray(GREY if mode == "L" else COLOUR).convert(mode)
    data = encode(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert (read(data) == (grey() if mode == "L" else COLOUR)).all()


def test_ones_and_palettes():
    ones = GREY >= 128
    assert (read(encode(Image.fromarray(ones))) == grey(ones * 255)).all()
    image = Image.fromarray(ones.astype(np.uint8)).convert("P")
    image.putpalette([12, 34, 56, 210, 98, 76])
    wanted = np.array([[12, 34, 56], [210, 98, 76]])[ones.astype(int)]
    assert (read(encode(image)) == wanted).all()
    assert (read(encode(image, transparency=1)) == np.where(ones[..., None], 255, wanted)).all()
    shares = np.array([51, 204], np.uint8)
    half = read(encode(image, transparency=shares.tobytes()))
    assert np.abs(half - over(wanted, shares[ones.astype(int)])).max() <= 1


def test_cmyk_of_jpeg_is_not_inverted():
    """JPEG stores CMYK inverted; red stays red within the quantisation."""
    red = read(encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert (red[..., 0] > 240).all() and (red[..., 1:] < 15).all()


def cielab(rgb):
    """CIE 1976 L*a*b* under D50 of sRGB (IEC 61966-2-1), adapted by Bradford's matrix."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.43607, 0.38515, 0.14308], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    x, y, z = (linear @ np.array(to_xyz).T / [0.9642, 1, 0.8251]).transpose(2, 0, 1)
    x, y, z = (
        np.where(v > 216 / 24389, np.cbrt(v), (24389 / 27 * v + 16) / 116) for v in (x, y, z)
    )
    return np.stack([(116 * y - 16) * 2.55, 500 * (x - y), 200 * (y - z)], axis=2)


def test_cielab_is_converted():
    """Colours written by the formula of CIELAB come back within what 8 bits of it resolve."""
    muted = COLOUR // 2 + 64  # inside what 8 bits of a* and b* hold
    stored = np.rint(cielab(muted)).astype(int).astype(np.uint8)  # a* and b* have a sign
    stored = Image.frombytes("LAB", (WIDTH, HEIGHT), stored.tobytes())
    assert np.abs(read(encode(stored, "TIFF")) - muted).max() <= 6


@pytest.mark.parametrize(("mode", "error"), [("YCbCr", 3), ("HSV", 6)])
def test_other_spaces_of_colour(mode, error):
    image = Image.fromarray(COLOUR).convert(mode)
    assert np.abs(np.asarray(to_rgb(image)).astype(int) - COLOUR).max() <= error
    if mode == "YCbCr":
        assert np.abs(read(encode(image, "TIFF")) - COLOUR).max() <= error


@pytest.mark.parametrize("paper", ["white", "black"])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_alpha_is_straight_and_lies_on_paper(mode, paper):
    """α C + (1 - α) paper; premultiplied colours lose what their alpha does not resolve."""
    level = 255 if paper == "white" else 0
    colour = COLOUR if mode.startswith("RGB") else grey()
    base = Image.fromarray(COLOUR if mode.startswith("RGB") else GREY)
    base.putalpha(Image.fromarray(ALPHA))
    image = base.convert("P").convert("PA") if mode == "PA" else base.convert(mode)
    if mode == "PA":
        image = Image.frombytes("PA", base.size, base.tobytes())
        image.putpalette(np.arange(256, dtype=np.uint8).repeat(3).tobytes())
    found = np.asarray(to_rgb(image, paper)).astype(int)
    assert np.abs(found - over(colour, ALPHA, level)).max() <= 2
    if mode in ("RGBA", "LA"):
        assert (read(encode(image), paper) == found).all()


@pytest.mark.parametrize(
    ("depth", "top"), [(1, 1), (2, 3), (4, 15), (8, 255), (16, 65535)], ids=str
)
def test_the_transparent_grey_of_a_png(depth, top):
    """tRNS is of the file's own depth; the pixels of that grey alone are transparent."""
    levels = np.random.default_rng(5).integers(0, top + 1, (HEIGHT, WIDTH))
    key = int(levels[0, 0])
    wanted = np.where(levels == key, 255, np.rint(levels / top * 255))
    assert (read(png("L", levels, depth, key=(key,))) == grey(wanted)).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "P", "1"])
@pytest.mark.parametrize("turn", [3, 6])
def test_exif_turns_every_depth(mode, turn):
    image = Image.fromarray(WIDE) if mode == "I;16" else Image.fromarray(GREY).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turn
    turned = {3: lambda x: x[::-1, ::-1], 6: lambda x: np.rot90(x, -1)}[turn]
    assert (read(encode(image, exif=exif)) == turned(read(encode(image)))).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_alone(kind):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = read(encode(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert (found == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encode(Image.new("I", (9, 9), 200), "TIFF"), "32 bits from 200 to 200, .* at least 256"),
        (encode(Image.new("I", (9, 9), 1 << 20), "TIFF"), "32 bits from 1.04858e.06"),
        (encode(Image.new("I", (9, 9), -1), "TIFF"), "32 bits from -1 to -1, wanted 0 to 65535"),
        (encode(Image.new("F", (9, 9), 200), "TIFF"), "floating point from 200 .* wanted 0 to 1"),
        (encode(Image.new("F", (9, 9), -0.1), "TIFF"), "floating point from -0.1"),
        (encode(Image.new("F", (9, 9), float("nan")), "TIFF"), "floating point from nan"),
        (tiff(GREY.tobytes(), 8, sample=2), "8 bits with a sign"),
        (tiff(WIDE.tobytes(), 16, sample=2), "16 bits with a sign"),
        (png("RGB", COLOUR.astype(int) * 257, key=(1, 2, 3)), "transparent colour of 16 bits"),
        (tiff(exchanged(">u2"), 16, photometric=0, byte_order=">"), "not a supported image"),
        (b"", "empty file"),
    ],
)
def test_what_has_no_known_scale_is_refused_by_name(data, words):
    with pytest.raises(Unreadable, match=rf"^a\.png: .*{words}"):
        read(data)


def test_part_numbers_are_read_as_they_are_or_not_at_all():
    image = Image.fromarray(GREY % 7)
    labels = read_labels(io.BytesIO(encode(image)), "a.png", 7)
    assert (np.asarray(labels) == GREY % 7).all()
    image.putpalette([9] * 768)
    assert (np.asarray(read_labels(io.BytesIO(encode(image)), "a.png", 7)) == GREY % 7).all()
    with pytest.raises(Unreadable, match=r"a\.png: not a mask of parts \(got 6, wanted 0 to 5\)"):
        read_labels(io.BytesIO(encode(image)), "a.png", 6)
    for wrong in (Image.fromarray(COLOUR), Image.fromarray(WIDE)):
        with pytest.raises(Unreadable, match=rf"a\.png: .*got mode {wrong.mode}, wanted part"):
            read_labels(io.BytesIO(encode(wrong)), "a.png", 7)


@pytest.mark.skipif(not TRIALS.is_dir(), reason="needs shared/trials beside the repository")
@pytest.mark.parametrize("pair", [("gray16", "gray8"), ("cut_black", "cut_green")], ids="-".join)
def test_files_that_failed(pair):
    """A grey picture and its twin; two cut-outs that look alike."""
    one, other = (read((TRIALS / f"{name}.png").read_bytes()) for name in pair)
    assert np.ptp(one) > 100 and np.abs(one - other).max() <= 1
