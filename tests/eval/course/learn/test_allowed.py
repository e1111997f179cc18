"""What answers may be written with."""

import pytest

from latentgeo.eval.course.learn.allowed import parsed
from latentgeo.eval.course.learn.blank import blank
from latentgeo.eval.course.learn.exercises import chapter_names, of_chapter


@pytest.mark.parametrize("name", chapter_names())
def test_every_blank_is_allowed(name):
    assert parsed(blank(of_chapter(name)), "exercise.py")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("import os", "import of os"),
        ("from pytest import main", "import of pytest.main"),
        ("from torch import testing", "import of torch.testing"),
        ("import latentgeo.eval.audit.errors", "import of latentgeo.eval.audit.errors"),
        ("from latentgeo.core.run.files import sha256", "import of latentgeo.core.run"),
        ("x = eval('1')", "eval"),
        ("def f():\n    return open('x')", "open"),
        ("x = pi.__class__", "pi.__class__"),
        ("import torch\ntorch.allclose = max", "torch.allclose"),
        ("import torch as t\ndel t.nn.Module", "t.nn.Module"),
        ("from . import x", "import of x"),
    ],
)
def test_what_reaches_around_the_mathematics_is_named_with_its_line(line, what):
    text = f"import math\n{line}\n"
    with pytest.raises(ValueError, match=r"a\.py:\d: got .*, wanted mathematics alone") as error:
        parsed(text, "a.py")
    assert f"got {what}" in str(error.value)


def test_mathematics_is_allowed():
    text = (
        "import torch\nfrom math import pi\n\n\ndef f(x):\n    x.grad = None\n    return pi * x\n"
    )
    assert parsed(text, "a.py")


def test_what_is_no_python_is_named_with_its_line():
    with pytest.raises(ValueError, match=r"a\.py:2: "):
        parsed("def f():\nreturn 1\n", "a.py")
