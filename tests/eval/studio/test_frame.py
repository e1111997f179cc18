"""The page in a real browser: walks, edits, drags, what is stopped, and what is refused."""

import http.client
import json
import re
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.eval.studio.client import function_of, press
from tests.eval.studio.tabs import SECONDS, done, kept, same_bytes, small_walk, tab


def test_a_walk_is_scrubbed_and_its_command_makes_the_same_bytes(page, tmp_path):
    """The frame under the slider moves at once, and so does its place in the plot."""
    small_walk(page)
    line = done(page, "walk")
    shown = "#walk-result .window img"
    places = f"[...document.querySelectorAll('{shown}')].map((one) => one.style.left)"
    before = page.evaluate(places)
    assert len(before) == page.locator(shown).count() == 2  # base and smooth
    took = page.evaluate(
        """() => {
          const slider = document.querySelector('#walk-result input[type=range]');
          const begun = performance.now();
          slider.value = 3;
          slider.dispatchEvent(new Event('input', { bubbles: true }));
          slider.getBoundingClientRect();
          return performance.now() - begun;
        }"""
    )
    after = page.evaluate(places)
    assert took < 100
    moved = [float(a[:-1]) - float(b[:-1]) for a, b in zip(after, before, strict=True)]
    assert moved == pytest.approx([-300, -300])
    assert page.inner_text("#walk-result output") == "image 4 of 4"
    place, end = (
        page.evaluate(
            f"document.querySelector('#walk-result [id={name}]').getBoundingClientRect().x"
        )
        for name in ("place", "end")
    )
    assert place == pytest.approx(end, abs=1)
    assert same_bytes(
        page,
        "walk",
        line,
        tmp_path,
        {"strip.png": "walk/strip.png", "distances.json": "walk/distances.json"},
    )


def test_a_job_stops(page):
    """Of thousands of steps none is left to do a moment later."""
    page.fill("#walk-frames input[type=number]", "31")
    page.fill("#walk-steps input[type=number]", "50")
    page.click("#walk-go")
    page.wait_for_selector("#walk-status :text-matches('interpolate: ')")
    begun = time.monotonic()
    page.click("#walk-stop")
    page.wait_for_selector("#walk-status .error")
    assert page.inner_text("#walk-status .error") == "stopped"
    assert time.monotonic() - begun < 10
    small_walk(page)
    done(page, "walk")  # and the next one runs


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("broken.png", b"\x89PNG\r\n\x1a\nno picture", "broken.png: not an image that can be read"),
        ("../../notes.txt", b"text", "notes.txt: not an image that can be read"),
        ("large.png", bytes(17 * 2**20), "large.png: got 17.0 MiB, wanted at most 16"),
    ],
)
def test_a_file_that_is_no_image_is_a_sentence(page, name, content, sentence):
    page.click("label:has-text('two images')")
    for slot in ("first image", "last image"):
        chosen = {"name": Path(name).name, "mimeType": "image/png", "buffer": content}
        page.set_input_files(f".file[data-tab=walk][data-slot='{slot}'] input", chosen)
    page.wait_for_timeout(300)  # it is read
    page.click("#walk-go")
    page.wait_for_selector("#walk-status .error")
    assert page.inner_text("#walk-status .error").startswith(sentence)
    assert "latentgeo-studio" not in page.content()  # the folder that it was read in


def test_a_wrong_value_is_the_command_lines_sentence(page):
    small_walk(page)
    page.fill("#walk-seeds input >> nth=1", "0")
    page.click("#walk-go")
    page.wait_for_selector("#walk-status .error")
    wanted = "--seed and --seed-b: got 0 twice, wanted two different ones"
    assert page.inner_text("#walk-status .error") == wanted


def test_a_face_is_edited_by_sliders(page, tmp_path):
    """Two directions at once, one backwards; letting a slider go is enough."""
    tab(page, "Meaning")
    page.click("text=steps and times")
    page.fill("#meaning-steps input[type=number]", "4")
    page.fill("#meaning-smile input[type=number]", "-1.5")
    slider = page.locator("#meaning-glasses input[type=range]")
    slider.focus()
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_function(  # the smile alone may have run before
        "document.querySelector('#meaning-line textarea').value.includes('glasses smile')"
    )
    line = done(page, "meaning", start=False)
    assert "--combine" in line and " -1.5 " in line
    assert page.locator("#meaning-result .window").count() == 2
    assert same_bytes(
        page,
        "meaning",
        line,
        tmp_path,
        {"0000-glasses+smile.png": "edit/0000-glasses+smile.png", "grid.png": "edit/grid.png"},
    )


def test_a_point_is_dragged_what_is_painted_stays_and_the_way_is_shown(page, tmp_path):
    """By clicks on the image that was drawn: both commands make the same bytes."""
    tab(page, "Drag")
    page.click("text=how many steps")
    for name, value in (("steps", "2"), ("iterations", "4"), ("lora_steps", "1")):
        page.fill(f"#drag-{name} textarea, #drag-{name} input", value)
    page.click("#drag-draw")
    canvas = page.locator(".canvas canvas")
    page.wait_for_function("document.querySelector('.canvas canvas').width === 32")
    done(page, "drag", start=False)
    box = canvas.bounding_box()

    def at(x, y):
        return box["x"] + (x + 0.5) * box["width"] / 32, box["y"] + (y + 0.5) * box["height"] / 32

    page.mouse.click(*at(8, 9))
    page.mouse.click(*at(19, 9))
    assert page.locator(".canvas circle").count() == 2
    page.click("text=paint what must stay")
    page.mouse.move(*at(3, 28))
    page.mouse.down()
    page.mouse.move(*at(28, 28), steps=12)
    page.mouse.up()
    line = done(page, "drag")
    assert "--point 8,9:19,9" in line and "--mask mask.png" in line and "--protect" in line
    track = json.loads(kept(page, "drag", "drag.json"))["tracks"]
    assert track[0] == [[8.0, 9.0]] and track[-1] != track[0]
    (tmp_path / "mask.png").write_bytes(kept(page, "drag", "mask.png"))
    with Image.open(tmp_path / "mask.png") as mask:
        levels = np.array(mask.convert("L"))
    assert levels.shape == (32, 32) and not levels[28, 5:26].any() and levels[:20].min() == 255
    assert same_bytes(
        page,
        "drag",
        line,
        tmp_path,
        {
            "edited.png": "drag/edited.png",
            "strip.png": "drag/strip.png",
            "drag.gif": "drag/drag.gif",
            "drag.json": "drag/drag.json",
        },
    )


def test_two_people_at_once_wait_and_see_their_own(site, browser):
    """The second's job begins when the first's has ended; neither page has the other's image."""
    pages = [browser.new_context().new_page() for _ in range(2)]
    lines = []
    for number, one in enumerate(pages):
        one.set_default_timeout(SECONDS)
        one.goto(site.url)
        one.wait_for_selector("#walk-go")
        small_walk(one)
        one.fill("#walk-seeds input >> nth=1", str(number + 5))
    for one in pages:
        one.click("#walk-go")
    strips = []
    for one in pages:
        lines.append(done(one, "walk", start=False))
        strips.append(one.get_attribute("#walk-result a[download='strip.png']", "href"))
    assert ["--seed-b 5" in lines[0], "--seed-b 6" in lines[1]] == [True, True]
    assert strips[0] != strips[1]
    assert strips[0] not in pages[1].content() and strips[1] not in pages[0].content()
    for one in pages:
        one.context.close()


def test_the_equations_are_there(page):
    """In a tab of their own, and by a link of another."""
    link = page.get_attribute(".why a", "href")
    page.click("role=tab[name=Equations]")
    frame = page.frame_locator("iframe.equations")
    frame.locator(f"[id='{link.partition('#')[2]}']").wait_for(state="attached")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/file=../../../../etc/hostname",
        "/gradio_api/file%3D/etc/hostname",
        "/gradio_api/file=link/hostname",
        "/file=/etc/hostname",
        "/assets/../../../../../../etc/hostname",
        "/assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/hostname",
        "/static/..%2f..%2f..%2fetc/hostname",
        "/theme.css/../../etc/hostname",
        "/gradio_api/upload",
        "/gradio_api/proxy=http://127.0.0.1/",
        "//etc/hostname",
    ],
)
def test_no_path_of_the_machine_is_served(site, path):
    place = urlsplit(site.url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    connection.putrequest("GET", path, skip_host=False)  # as it is, not made plain by the client
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 404 and answer.read() == b"not here"


def memory(process):
    """Return the bytes that a process has in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


@pytest.mark.slow
def test_two_hundred_requests_leave_memory_where_it_was(site):
    """Within 5 % of what the first forty came to."""
    function = function_of(site.url, "walk-go")
    values = ["{}", "two seeds", ["base"], "a face", 0, 1, 3, 1, ""]
    before = 0
    for i in range(240):
        answer = press(site.url, function, "somebody", values)
        assert "done in" in str(answer[0])
        before = memory(site.process) if i == 39 else before
    assert memory(site.process) < 1.05 * before
    assert not list(Path(tempfile.gettempdir()).glob("latentgeo-studio-*/out"))
