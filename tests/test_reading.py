"""How files are read: weights, pictures and text in one place each, nothing from the net."""

import ast
from functools import cache
from pathlib import Path

from tests.test_architecture import each_file, imports, name, tree

OWN_TEXT = {  # files that read text which nobody but their own command, or the system, writes
    *("core/run/text.py", "eval/bench/load.py", "eval/bench/load_process.py"),
    *("eval/runs/rows.py", "train/loop/log.py"),  # what a crash left in them is passed over
    *(
        f"eval/audit/{file}.py"
        for file in ("coverage", "ledger", "mutants", "mutation", "references")
    ),
    "kernels/aot/golden_files.py",
}


@cache
def calls(path: Path) -> tuple[tuple[str, dict[str, str]], ...]:
    """Return each call of a dotted name with its keyword arguments as source text."""
    return tuple(
        (
            ast.unparse(node.func),
            {word.arg or "**": ast.unparse(word.value) for word in node.keywords},
        )
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
    )


@each_file
def test_pickles_are_read_as_weights_or_not_at_all(path):
    loaders = {"pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    if (
        name(path) == "infer/data/cifar.py"
    ):  # an unpickler of its own, which admits numpy's arrays only
        loaders -= {"pickle"}
        assert not {"pickle.load", "pickle.loads"} & {function for function, _ in calls(path)}
    assert not loaders & {module.split(".")[0] for module, _ in imports(tree(path))}
    for function, arguments in calls(path):
        if function == "torch.load":
            assert arguments.get("weights_only") == "True", f"{name(path)}: torch.load"
        if function in ("np.load", "numpy.load"):
            assert arguments.get("allow_pickle", "False") == "False", f"{name(path)}: {function}"


@each_file
def test_pictures_are_read_in_one_place(path):
    """Files of others: a PNG's settings are text, and a drawing is opened as it was rendered."""
    ours = {"infer/pictures/decoding.py", "infer/pictures/images.py", "train/sets/avatars.py"}
    opened = {"Image.open", "PIL.Image.open"} & {function for function, _ in calls(path)}
    assert not opened or name(path) in ours, f"{name(path)}: wanted infer/pictures/decoding.py"


@each_file
def test_text_is_read_by_one_function(path):
    """core/run/text.py knows byte order marks; whatever reads text otherwise does not."""
    methods = {function for function, _ in calls(path) if function.endswith(".read_text")}
    other = methods - {"configs.read_text"}  # which reads a table
    assert name(path) in OWN_TEXT or not other, f"{name(path)}: {other}"


@each_file
def test_nothing_reaches_the_network(path):
    clients = {"urllib.request", "http.client", "requests", "httpx", "ftplib", "huggingface_hub"}
    assert not clients & {module for module, _ in imports(tree(path))}, name(path)
    functions = {function for function, _ in calls(path)}
    assert not functions & {"torch.hub.load", "torch.hub.load_state_dict_from_url"}, name(path)
