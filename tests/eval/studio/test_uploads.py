"""Images of the user's own in the browser: what comes of them is what the shown command makes."""

import pytest
import torch

from latentgeo.infer.pictures.images import png_bytes, to_picture
from tests.eval.studio.tabs import done, same_bytes, small_walk, tab


def photo(seed, side=32):
    """Return a PNG of noise."""
    noise = torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))
    return png_bytes(to_picture(noise * 2 - 1))


def choose(page, name, **files):
    """Take the images of a tab from the disk, by their slots."""
    for slot, (file, content) in files.items():
        place = f".file[data-tab={name}][data-slot='{slot.replace('_', ' ')}']"
        given = {"name": file, "mimeType": "image/png", "buffer": content}
        page.set_input_files(f"{place} input", given)
        page.wait_for_function(
            "place => document.querySelector(place + ' img').src.startsWith('data:')", arg=place
        )


@pytest.mark.parametrize(
    ("name", "kind", "files"),
    [
        ("walk", "two images", {"strip.png": "walk/strip.png"}),
        ("meaning", "an image", {"grid.png": "edit/grid.png"}),
        ("captions", "an image", {"sdedit-strip.png": "captions/sdedit/strip.png"}),
    ],
)
def test_an_image_of_ones_own_is_taken(page, tmp_path, name, kind, files):
    """Its file is named as it was, so that the command runs beside it and makes the same bytes."""
    images = {"first_image": ("a.png", photo(0)), "last_image": ("b.png", photo(1))}
    if name == "walk":
        small_walk(page)
    else:
        tab(page, name.capitalize())
        images = {"image": images["first_image"]}
    if name == "meaning":
        page.click("text=steps and times")
    if name == "captions":
        for method in ("smooth", "prompt-to-prompt", "plug-and-play"):
            page.click(f"#captions-methods label:has-text('{method}')")
    if name != "walk":
        page.fill(f"#{name}-steps input[type=number]", "4")
    page.click(f"label:has-text('{kind}') >> visible=true")
    choose(page, name, **images)
    line = done(page, name)
    for file, content in images.values():
        (tmp_path / file).write_bytes(content)
        assert file in line
    assert same_bytes(page, name, line, tmp_path, files)
