"""What a user does in a tab of the page, and what comes of it."""

import base64
import shlex
import subprocess
import sys

SECONDS = 120_000  # ms, of a busy machine


def tab(page, name):
    page.click(f"role=tab[name={name}]")
    page.wait_for_selector(f"#{name.lower()}-go")


def done(page, name, start=True):
    """Start a tab's job and wait for it; return its command."""
    if start:
        page.evaluate(f"document.querySelector('#{name}-status .going')?.remove()")
        page.click(f"#{name}-go")
    page.wait_for_function(
        f"document.querySelector('#{name}-status .error, #{name}-status .going')?.textContent"
        ".match(/done in/)"
    )
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


def same_bytes(page, name, line, folder, files):
    """Whether the shown command, run in a folder, writes what the tab offers to keep.

    `files` has the place below `out` of each file by its name in the page.
    """
    again(line, folder)
    return all(
        kept(page, name, file) == (folder / "out" / place).read_bytes()
        for file, place in files.items()
    )
