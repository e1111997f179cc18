"""Settings are data: what their files import, and what they do not hold."""

import ast

import pytest

from tests.test_architecture import FILES, imports, name, tree

SETTINGS = {  # all that a file of settings imports, besides the settings of other rooms
    "latentgeo.core.run.cli",
    "latentgeo.core.run.limits",
    *("dataclasses", "math", "pathlib", "typing"),
}


def beyond_settings(tree: ast.Module) -> set[str]:
    """Return what a file imports that settings do not: work, above all."""
    found = {module for module, _ in imports(tree)}
    return {one for one in found - SETTINGS if not one.endswith(".settings")}


@pytest.mark.parametrize("path", [path for path in FILES if path.stem == "settings"], ids=name)
def test_settings_are_data(path):
    assert not beyond_settings(tree(path))
    assert not [node for node in ast.walk(tree(path)) if getattr(node, "name", "") == "run"]


def test_settings_that_import_work_are_seen():
    source = "def run(self):\n    from latentgeo.eval.demo.run import run_demo"
    assert beyond_settings(ast.parse(source)) == {"latentgeo.eval.demo.run"}
