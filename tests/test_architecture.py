"""The rules of the code's shape: who imports whom, what an import may load, how files are read."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
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
REQUIRED |= {"torchvision", "tqdm", "triton"}  # what setup.py installs, by import name
OPTIONAL = {"python_avatars", "resvg_py"}  # its extra `data`: imported inside functions only
PACKAGES = {"core": {"torch"}, "kernels": {"torch", "triton"}}  # elsewhere: REQUIRED
LAZY = {  # file -> what its functions may import besides
    "core/couplings.py": {"scipy"},  # the assignment problem; imported where it is solved
    "core/progress.py": {"tqdm"},
    "core/seeds.py": {"numpy"},  # its generator, where all are seeded
    "eval/audit_errors.py": {"pytest"},  # a plugin of it; and what runs the tests behind the ledger
    "eval/audit_mutation.py": {"pytest"},
    "eval/peers.py": {"diffusers", "transformers"},  # what benches time; nothing else may
    "eval/bench_step.py": {"diffusers", "peft"},
    "eval/separability.py": {"sklearn"},  # the extra `separability`
    "kernels/bench/peers.py": {"jvp_flash_attention"},
}
ACROSS = {  # tests of more than one file, and what they test
    "tests/core/test_errata.py": "what the papers print wrong, beside what is here",
    "tests/core/test_ledger.py": "core/PAPERS.md and every tag in the code",
    "tests/train/test_distributed.py": "the loop, its session and its checkpoints under torchrun",
}
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


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


def calls(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each call of a dotted name with its keyword arguments as source text."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            arguments = {word.arg or "**": ast.unparse(word.value) for word in node.keywords}
            yield ast.unparse(node.func), arguments


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


def test_no_import_cycles():
    graph = {}
    for path in FILES:
        dotted = ".".join(["latentgeo", *path.relative_to(ROOT).with_suffix("").parts])
        graph[dotted] = {module for module, at_import in imports(tree(path)) if at_import}
    assert tuple(graphlib.TopologicalSorter(graph).static_order())


@each_file
def test_pickles_are_read_as_weights_or_not_at_all(path):
    loaders = {"pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    if name(path) == "train/cifar.py":  # an unpickler of its own, which admits numpy's arrays only
        loaders -= {"pickle"}
        assert not {"pickle.load", "pickle.loads"} & {function for function, _ in calls(path)}
    assert not loaders & {module.split(".")[0] for module, _ in imports(tree(path))}
    for function, arguments in calls(path):
        if function == "torch.load":
            assert arguments.get("weights_only") == "True", f"{name(path)}: torch.load"
        if function in ("np.load", "numpy.load"):
            assert arguments.get("allow_pickle", "False") == "False", f"{name(path)}: {function}"


@each_file
def test_nothing_reaches_the_network(path):
    clients = {"urllib.request", "http.client", "requests", "httpx", "ftplib", "huggingface_hub"}
    assert not clients & {module for module, _ in imports(tree(path))}, name(path)
    functions = {function for function, _ in calls(path)}
    assert not functions & {"torch.hub.load", "torch.hub.load_state_dict_from_url"}, name(path)


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
    """REQUIRED above and setup.py say the same; PIL is the import name of pillow."""
    words = {
        node.value.split(">")[0].replace("pillow", "PIL")
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
