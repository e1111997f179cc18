"""Golden files: what is kept, what is replaced and what is called a difference."""

from dataclasses import replace

import pytest

from latentgeo.kernels.aot import golden_files
from latentgeo.kernels.aot.rows import Request

REQUEST = Request(arch=("sm_80",), dtype=("bf16",), head_dims=(40,), kernels=("attention",))


def test_a_file_holds_what_was_measured(row, tmp_path):
    file = tmp_path / "1.json"
    assert golden_files.read(file) is None
    rows = [row, replace(row, case="text"), replace(row, kernel="jvp", case="320 × 64²")]
    file.write_text(golden_files.text(golden_files.updated(None, REQUEST, rows)), encoding="utf-8")
    assert golden_files.read(file) == {entry.key: entry.measured for entry in rows}
    assert not golden_files.differences(golden_files.read(file), REQUEST, rows)


def test_a_report_replaces_what_it_covers_and_nothing_else(row):
    other = replace(row, arch="sm_90")
    old = {row.key: row.measured, other.key: other.measured, replace(row, case="x").key: (1,)}
    new = golden_files.updated(old, REQUEST, [replace(row, registers=168)])
    assert new == {row.key: replace(row, registers=168).measured, other.key: other.measured}


def test_differences_are_named(row):
    gone, new = replace(row, case="text"), replace(row, kernel="jvp")
    beyond = replace(row, head_dim=80)
    old = {entry.key: entry.measured for entry in (row, gone, beyond)}
    found = golden_files.differences(old, REQUEST, [replace(row, registers=255, loads=7), new])
    assert found == [
        "sm_80 bf16 attention.hvp_keys d=40 self: registers 170 → 255, loads 0 → 7",
        "sm_80 bf16 attention.hvp_keys d=40 text: gone",
    ]


def test_two_kernels_have_two_keys(row):
    with pytest.raises(RuntimeError, match=r"several kernels are 'sm_80 bf16 attention\.hvp_keys"):
        golden_files.updated(None, REQUEST, [row, replace(row, registers=1)])


def test_a_file_of_other_columns_is_refused(tmp_path):
    file = tmp_path / "1.json"
    file.write_text('{"columns": ["registers"], "kernels": {}}')
    with pytest.raises(ValueError, match=r"1\.json: got columns \['registers'\], wanted"):
        golden_files.read(file)
