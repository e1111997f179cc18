"""The rules of the code's shape: who imports whom, and what an import may load.

A room is a folder of files. Rooms of a folder stand on floors, and import from floors below theirs;
an import inside a function counts like any other.
"""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {  # folder -> the folders it may import from, besides itself
    "core": set(),
    "kernels": set(),
    "models": {"core", "kernels"},
    "infer": {"core", "kernels", "models"},
    "train": {"core", "kernels", "models", "infer"},
    "eval": {"core", "kernels", "models", "infer"},
}
REQUIRED = {"PIL", "lpips", "matplotlib", "numpy", "safetensors", "scipy", "tokenizers", "torch"}
REQUIRED |= {"torchvision", "triton"}  # what setup.py installs, by import name
OPTIONAL = {"latex2mathml", "python_avatars", "resvg_py"}  # extras: imported in functions only
OPTIONAL |= {"markdown_it", "mdit_py_plugins", "fastapi", "gradio", "uvicorn"}
IMPORTED = {  # what setup.py installs under another name than it is imported by
    "pillow": "PIL",
    "markdown-it-py": "markdown_it",
    "mdit-py-plugins": "mdit_py_plugins",
}
FLOORS = {  # folder -> its rooms, the lowest floor first; on one floor none knows another
    "core": [{"core", "core/run"}],
    "kernels": [
        {"kernels/wiring"},
        {"kernels", "kernels/attention", "kernels/gates", "kernels/reductions"},
        {"kernels/norms", "kernels/chart"},
        {"kernels/aot", "kernels/bench"},
    ],
    "models": [
        {"models/zoo", "models/formats/files"},
        {"models", "models/lora"},
        {"models/bundles"},
        {"models/formats/ldm"},
        {"models/formats/diffusers", "models/formats/lora"},
        {"models/formats/clip"},
        {"models/formats"},
        {"models/judges"},
    ],
    "infer": [
        {"infer", "infer/pictures"},  # in infer itself there is the table of commands alone
        {"infer/data", "infer/sampling"},
        {"infer/directions", "infer/drags", "infer/inversion", "infer/semantic"},
        {"infer/walks"},
        {"infer/text_edits"},
    ],
    "train": [
        {"train/data"},
        {"train/loop", "train/sets"},
        {"train", "train/judges", "train/semantic"},
        {"train/isometry", "train/smoothing"},
    ],
    "eval": [
        {"eval/page"},
        {"eval/audit", "eval/runs"},
        {"eval/bench", "eval/kernels", "eval/metrics", "eval/toy", "eval/zoo"},
        {"eval", "eval/judges", "eval/semantic"},
        {"eval/smooth", "eval/studio/service", "eval/transport"},
        {"eval/isometric"},
        {"eval/demo"},
        {"eval/compare"},
        {"eval/course"},
        {"eval/course/book", "eval/course/learn", "eval/course/scripts", "eval/studio"},
    ],
}
MOST = 16  # Python files in a room
LARGER = {"core", "models"}  # the mathematics, and the networks, are flat
PACKAGES = {"core": {"torch"}, "kernels": {"torch", "triton"}}  # elsewhere: REQUIRED
LAZY = {  # file -> what its functions may import besides
    "core/couplings.py": {"scipy"},  # the assignment problem; imported where it is solved
    "core/run/seeds.py": {"numpy"},  # its generator, where all are seeded
    "eval/audit/errors.py": {"pytest"},  # a plugin of it; and what runs the tests behind the ledger
    "eval/audit/mutation.py": {"pytest"},
    "eval/course/learn/trial.py": {"pytest"},
    "eval/bench/peers.py": {"diffusers", "transformers"},  # what benches time; nothing else may
    "eval/bench/step.py": {"diffusers", "peft"},
    "eval/metrics/separability.py": {"sklearn"},  # the extra `separability`
    "kernels/bench/peers.py": {"jvp_flash_attention"},
}
FOREIGN = {"nulltxtinv_wrapper.py", "exercise.py", "file.py"}  # of others, and of none
ACROSS = {  # tests of more than one file, and what they test
    "tests/core/test_errata.py": "what the papers print wrong, beside what is here",
    "tests/core/test_ledger.py": "core/papers and every tag in the code",
    "tests/core/test_printed_asyrp.py": "what papers print, beside the code",
    "tests/core/test_printed_iso.py": "likewise",
    "tests/core/test_printed_others.py": "likewise",
    "tests/core/test_printed_smooth.py": "likewise",
    "tests/core/test_prints_and_releases.py": "print, released code and this: where they differ",
    "tests/eval/studio/test_uploads.py": "images of the user's own, in every tab that takes them",
    "tests/train/test_distributed.py": "the loop, its session and its checkpoints under torchrun",
}
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(node: ast.AST, at_import: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield every imported module, and whether importing the file imports it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child.module or "", at_import
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        yield from imports(child, at_import and not inside and not typing_only)


each_file = pytest.mark.parametrize("path", FILES, ids=name)


@each_file
def test_folders_import_only_what_is_below_them(path):
    folder = path.relative_to(ROOT).parts[0]
    ours = {module for module, _ in imports(tree(path)) if module.split(".")[0] == "latentgeo"}
    allowed = FOLDERS[folder] | {folder}
    wrong = {
        module for module in ours if module.split(".")[1:2] not in [[part] for part in allowed]
    }
    assert not wrong, f"{name(path)} imports {wrong}; {folder} may import from {sorted(allowed)}"


@each_file
def test_packages_are_declared_and_few(path):
    allowed = PACKAGES.get(path.relative_to(ROOT).parts[0], REQUIRED)
    lazy = allowed | LAZY.get(name(path), set()) | (OPTIONAL if allowed is REQUIRED else set())
    known = sys.stdlib_module_names | {"latentgeo", "__future__"}
    for module, at_import in imports(tree(path)):
        package = module.split(".")[0]
        assert package in known | (allowed if at_import else lazy), f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", FILES + TESTS, ids=name)
def test_imports_are_absolute(path):
    relative = [node for node in ast.walk(tree(path)) if getattr(node, "level", 0)]
    assert not relative, f"{name(path)}:{relative[0].lineno} is a relative import"


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=name)
def test_init_files_are_a_docstring(path):
    module = tree(path)
    assert ast.get_docstring(module)
    assert len(module.body) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_a_package_and_the_root_is_none(folder):
    assert (ROOT / folder / "__init__.py").exists()
    assert not (ROOT / "__init__.py").exists()


def room(path: Path) -> str:
    return name(path.parent)


def dotted(path: Path) -> str:
    return ".".join(["latentgeo", *path.relative_to(ROOT).with_suffix("").parts])


def modules(tree: ast.Module, known: Collection[str]) -> set[str]:
    """Return the modules among `known` that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found & set(known)


def graph(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return which of the modules (name -> syntax tree) each of them imports."""
    return {one: modules(tree, trees) - {one} for one, tree in trees.items()}


def upward(edges: dict[str, set[str]], floors: dict[str, int]) -> list[str]:
    """Return the imports that do not lead to a floor below; `floors` is by the module's room."""
    return [
        f"{one} imports {other}"
        for one, others in edges.items()
        for other in others
        if one.rpartition(".")[0] != other.rpartition(".")[0]
        if floors[one.rpartition(".")[0]] <= floors[other.rpartition(".")[0]]
    ]


def floors_of(folder: str) -> dict[str, int]:
    """Return the floor of each room of a folder, by its dotted name."""
    rooms = enumerate(FLOORS[folder])
    return {"latentgeo." + one.replace("/", "."): i for i, several in rooms for one in several}


@pytest.mark.parametrize("folder", FOLDERS)
def test_rooms_import_from_floors_below(folder):
    paths = [path for path in FILES if path.is_relative_to(ROOT / folder)]
    assert {room(path) for path in paths} == set().union(*FLOORS[folder])
    edges = graph({dotted(path): tree(path) for path in paths})
    assert not upward(edges, floors_of(folder))


def test_no_circle_however_hidden():
    edges = graph({dotted(path): tree(path) for path in FILES})
    assert tuple(graphlib.TopologicalSorter(edges).static_order())


def test_an_import_upwards_and_a_hidden_circle_are_seen():
    low, high = "latentgeo.eval.page.plots", "latentgeo.eval.demo.run"
    upwards = ast.parse(f"def plot():\n    from {high} import run_demo")
    edges = graph({low: upwards, high: ast.parse("import torch")})
    assert upward(edges, floors_of("eval")) == [f"{low} imports {high}"]
    back = ast.parse("def run_demo():\n    from latentgeo.eval.page import plots")
    with pytest.raises(graphlib.CycleError):
        tuple(graphlib.TopologicalSorter(graph({low: upwards, high: back})).static_order())


@pytest.mark.parametrize("one", sorted({room(path) for path in FILES}))
def test_rooms_are_small_and_say_what_they_are_for(one):
    files = [path for path in FILES if room(path) == one]
    assert one in LARGER or len(files) <= MOST, f"{one} has {len(files)} files"
    assert len((ROOT / one / "__init__.py").read_text(encoding="utf-8").splitlines()) == 1
    begin = [path.name for path in files if path.name.startswith(Path(one).name)]
    assert not begin, f"{one}: {begin} say again what the room says"


def test_files_named_in_docstrings_are_there():
    """By their path in the tree, or from the folder of the file that names them."""
    known = {name(path) for path in FILES + TESTS}
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for word in re.findall(r"(?<![\w/.*])[\w/]+\.py\b", ast.get_docstring(node) or ""):
                    there = word in known or f"{room(path)}/{word}" in known
                    assert there or word in FOREIGN, f"{name(path)} names {word}"


def test_tests_mirror_the_folders():
    """tests/<folder>/test_<file>[_<aspect>].py tests <folder>/<file>.py; the rest is in ACROSS."""
    stray = set()
    for path in TESTS:
        inside = path.relative_to(ROOT / "tests")
        words = path.stem.removeprefix("test_").split("_")
        mirrored = {"_".join(words[: end + 1]) for end in range(len(words))}
        files = {
            file.stem for file in (ROOT / inside.parent).glob("*") if file.suffix in (".py", "")
        }
        if len(inside.parts) > 1 and path.name.startswith("test_") and not mirrored & files:
            stray.add(name(path))
    assert stray == set(ACROSS)


def test_setup_declares_these_packages():
    """REQUIRED above and setup.py say the same, by the names of imports."""
    words = {
        IMPORTED.get(package := node.value.split(">")[0], package)
        for node in ast.walk(tree(ROOT / "setup.py"))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert words >= REQUIRED | OPTIONAL


def test_importing_core_loads_torch_and_nothing_else_of_ours():
    modules = [
        ".".join(["latentgeo", *path.relative_to(ROOT).with_suffix("").parts])
        for path in FILES
        if path.is_relative_to(ROOT / "core") and path.name != "__init__.py"
    ]
    code = (
        "import sys, torch, torch.distributed; before = set(sys.modules)\n"
        f"for module in {modules!r}: __import__(module)\n"
        "print(*{module.split('.')[0] for module in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & (REQUIRED | OPTIONAL) - {"torch"}
