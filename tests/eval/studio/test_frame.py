"""The page in a real browser: walks, edits, drags, what is stopped, and what is refused."""

import base64
import shlex
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

SECONDS = 120_000  # ms, of a busy machine


@pytest.fixture
def page(site, browser):
    """A page of its own session; whatever it asks for is of the studio, and is there."""
    found = browser.new_page()
    found.set_default_timeout(SECONDS)
    asked, faults = [], []
    found.on("request", lambda request: asked.append(request.url))
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("response", lambda answer: answer.status >= 400 and faults.append(answer.url))
    found.goto(site.url)
    found.wait_for_selector("#walk-go")
    yield found
    found.close()
    elsewhere = [one for one in asked if urlsplit(one).netloc != urlsplit(site.url).netloc]
    assert not [one for one in elsewhere if not one.startswith(("data:", "blob:"))]
    assert not faults


def tab(page, name):
    page.click(f"role=tab[name={name}]")
    page.wait_for_selector(f"#{name.lower()}-go")


def done(page, name, start=True):
    """Start a tab's job and wait for it; return its command."""
    if start:
        page.click(f"#{name}-go")
    page.wait_for_function(
        f"document.querySelector('#{name}-status .error, #{name}-status .going')?.textContent"
        ".match(/done in|got|stopped/)"
    )
    assert not page.query_selector(f"#{name}-status .error"), page.inner_text(f"#{name}-status")
    return page.input_value(f"#{name}-line textarea")


def kept(page, name, file):
    """Return the bytes of a file that a tab offers to keep."""
    link = page.get_attribute(f"#{name}-result a[download='{file}']", "href")
    return base64.b64decode(link.partition(",")[2])


def again(lines, folder):
    """Run what is shown as a command, line by line."""
    for line in lines.splitlines():
        words = shlex.split(line)
        assert words[0] == "latentgeo"
        code = [sys.executable, "-m", "latentgeo.core.run", *words[1:]]
        subprocess.run(code, cwd=folder, check=True, capture_output=True)


def small_walk(page):
    page.fill("#walk-frames input[type=number]", "4")
    page.fill("#walk-steps input[type=number]", "2")


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
    again(line, tmp_path)
    for file in ("strip.png", "distances.json"):
        assert kept(page, "walk", file) == (tmp_path / "out" / "walk" / file).read_bytes()


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
