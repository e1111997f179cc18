"""Images on their way in: sizes, turns, and files that are no images."""

import pytest
import torch
from PIL import Image

from latentgeo.infer.pictures.images import to_picture
from latentgeo.infer.pictures.photos import photo_hash, read_photo, read_photos


def written(path, width, height, colour=(10, 20, 30)):
    picture = Image.new("RGB", (width, height), colour)
    picture.putpixel((0, 0), (255, 0, 0))
    picture.save(path)
    return path


def test_pixels_come_back(tmp_path):
    path = written(tmp_path / "a.png", 24, 16)
    photo = read_photo(path, 8)
    assert photo.shape == (1, 3, 16, 24) and photo[0, :, 0, 0].tolist() == [1, -1, -1]
    with Image.open(path) as picture:
        assert to_picture(photo[0]).tobytes() == picture.tobytes()


def test_size_cuts_the_middle(tmp_path):
    picture = Image.new("RGB", (48, 16), (0, 0, 255))
    picture.paste((255, 255, 255), (16, 0, 32, 16))
    picture.save(tmp_path / "a.png")
    assert (read_photo(tmp_path / "a.png", 8, 16) == 1).all()


def test_a_turned_photo_is_turned_back(tmp_path):
    picture = Image.new("RGB", (24, 16), (0, 0, 0))
    exif = picture.getexif()
    exif[0x0112] = 6  # shown after a quarter turn
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg", 8).shape == (1, 3, 24, 16)


@pytest.mark.parametrize(
    ("width", "height", "size", "message"),
    [
        (24, 20, None, "got 24 × 20 pixels, .* of 8: width 24, height 16 or 24; --size"),
        (4, 8, None, "got 4 × 8 pixels, .* width 8, height 8;"),
        (31, 57, None, "width 24 or 32, height 56 or 64;"),
        (24, 16, 12, "size must be a positive multiple of 8 pixels, got 12; 8 or 16 would do"),
        (24, 16, 0, "size must be a positive multiple of 8 pixels, got 0; 8 would do"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path, width, height, size, message):
    with pytest.raises(ValueError, match=message):
        read_photo(written(tmp_path / "a.png", width, height), 8, size)


def test_what_is_no_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.png: no such image"):
        read_photo(tmp_path / "b.png", 8)
    (tmp_path / "b.png").write_text("text")
    with pytest.raises(ValueError, match=r"b\.png: not an image"):
        read_photo(tmp_path / "b.png", 8)
    whole = written(tmp_path / "c.png", 64, 64).read_bytes()
    (tmp_path / "c.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"c\.png: not an image"):
        read_photo(tmp_path / "c.png", 8)


def test_two_images_have_one_size(tmp_path):
    paths = [written(tmp_path / "a.png", 24, 16), written(tmp_path / "b.png", 16, 16)]
    with pytest.raises(ValueError, match="one size, got 24 × 16, 16 × 16"):
        read_photos(paths, 8)
    assert read_photos(paths, 8, 16).shape == (2, 3, 16, 16)


def test_hash_is_of_pixels_and_shape():
    photo = torch.full((1, 3, 8, 16), 0.5)
    assert photo_hash(photo) == photo_hash(photo + 1e-4)
    assert photo_hash(photo) != photo_hash(photo.mT.contiguous())
    assert photo_hash(photo) != photo_hash(photo + 0.1)
