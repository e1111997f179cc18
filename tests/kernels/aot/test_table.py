"""The report as text."""

from dataclasses import replace

from latentgeo.kernels.aot.table import attention_line, summary, table


def test_a_line_says_everything(row):
    words = attention_line(row).split()
    assert words == [
        *["40", "self", "hvp_keys", "32×128", "8,2", "170", "0", "58", "1", "96"],
        *["1.00", "8", "20", "19", "431", "0.83", "13.5", "8–128", "32", "bool"],
    ]
    bare = replace(row, replication=None, products=None, ceiling=None, loads=2, stores=3)
    assert attention_line(bare).split()[6:] == [
        *["5", "58", "1", "96", "–", "–"],
        *"20 19 431 – 13.5 8–128 32 bool".split(),
    ]
    assert attention_line(replace(row, mask="")).endswith("  none")


def test_a_collapse_stands_out(row):
    assert "COLLAPSED" in attention_line(replace(row, collapsed=True, registers=32))


def test_attention_is_listed_and_other_operators_summed_up(row):
    norm = replace(row, family="norms", kernel="jvp_kernel", head_dim=None, tile=None, loads=0)
    other = replace(norm, registers=40, stores=6, per_element=78.2, read_bits=(16, 32))
    rows = [row, replace(row, kernel="jvp"), norm, other]
    lines = table([*rows, replace(row, arch="sm_90")]).splitlines()
    assert lines[0] == "sm_80 bf16: attention"
    assert [line.split()[0] for line in lines[2:4]] == ["40", "jvp"]  # d is not repeated
    summed = next(line for line in lines if line.startswith("norms.jvp_kernel"))
    assert summed.split()[1:5] == ["2", "8", "40–170", "6"]
    assert summed.split()[-3:] == ["14–78", "8–128", "32"]
    still = table([replace(norm, per_element=None, read_bits=(0, 0))]).splitlines()[2]
    assert still.split()[-3:] == ["–", "0", "32"]
    assert "sm_90 bf16: attention" in lines
    assert lines[-2].startswith("4 of 5 kernels")
    assert lines[-1].strip().endswith(": 6 spill instructions")


def test_a_sound_report_lists_no_kernel(row):
    assert summary([row]) == ["1 of 1 kernels neither spill nor compute anything twice"]
