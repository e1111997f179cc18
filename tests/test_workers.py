"""How the suite runs: a process for each core, of one thread."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import CORES, WORKERS, pytest_cmdline_main


def test_one_thread_unless_told_otherwise():
    assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, min(CORES, WORKERS)),
        ({"numprocesses": 0}, 0),
        ({"numprocesses": 3}, 3),
        ({"usepdb": True}, None),
        ({"args": [__file__]}, None),
        ({"args": [f"{__file__}::test_one"]}, None),
        ({"plugin": False}, None),
        ({"workerinput": {}}, None),
    ],
    ids=str,
)
def test_workers(given, wanted):
    option = SimpleNamespace(numprocesses=None, dist="no", usepdb=False)
    vars(option).update({key: value for key, value in given.items() if hasattr(option, key)})
    config = SimpleNamespace(option=option, args=given.get("args", [str(Path(__file__).parent)]))
    if "workerinput" in given:
        config.workerinput = given["workerinput"]
    config.pluginmanager = SimpleNamespace(hasplugin=lambda name: given.get("plugin", True))
    pytest_cmdline_main(config)
    assert option.numprocesses == wanted
    assert option.dist == ("worksteal" if given == {} else "no")
