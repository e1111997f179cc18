"""What is printed of cases, rows and bars."""

from latentgeo.eval.kernels.table import HEAD, bar_lines, heading, listed, row_line
from latentgeo.kernels.bench.bars import BARS
from latentgeo.kernels.bench.cases import CASES
from latentgeo.kernels.bench.rows import FAILED, OK, Row

CASE = next(case for case in CASES if case.name == "attention-4096x4096-d40-h8-b1-bf16-forward")


def row(contender="latentgeo", **values):
    flop, size = CASE.work
    return Row(
        case=CASE.name, contender=contender, status=OK, flop=flop, bytes=size, floor=4e-5, **values
    )


def test_a_case_is_listed_with_its_work_and_its_contenders():
    """2 U of 10.74 GFLOP, and q, k, v and o of 8 · 4096 · 40 numbers in 2 bytes."""
    assert listed(CASE).split() == [
        CASE.name, "21.5", "GFLOP", "10.5", "MB", "latentgeo,", "sdpa-math,", "eager,",
        "sdpa-flash,", "sdpa-cudnn,", "sdpa-efficient,", "flex-attention",
    ]  # fmt: skip


def test_the_heading_says_what_the_roofline_allows():
    assert heading(CASE, row()) == f"{CASE.name}: 21.5 GFLOP, 10.5 MB, at least 0.0400 ms"
    failed = Row(case=CASE.name, contender="eager", status=FAILED)
    assert heading(CASE, failed) == f"{CASE.name}: 21.5 GFLOP, 10.5 MB"


def test_rates_and_ratios_are_of_the_kernels_time():
    ours = row(eager=3e-4, graph=1e-4, peak_bytes=11_000_000, error=0.0017)
    peer = row("sdpa-math", eager=9e-4, graph=5e-4, note="x")
    cells = dict(zip(HEAD.replace("kernels ms", "kernels_ms").replace("eager ms", "eager_ms")
                     .replace("× ours", "ratio").replace("peak MB", "peak").split(),
                     row_line(ours, ours).split()[1:], strict=True))  # fmt: skip
    assert cells == {
        "eager_ms": "0.3000",
        "kernels_ms": "0.1000",
        "ratio": "1.00",
        "TFLOP/s": "214.7",
        "GB/s": "105",
        "roofline": "40.0%",
        "peak": "11.0",
        "error": "1.7e-03",
    }
    assert row_line(peer, ours).split()[3] == "5.00" and row_line(peer, ours).endswith("  x")
    assert row_line(peer, None).split()[3] == "–"


def test_the_columns_are_below_their_heads():
    line = row_line(row(eager=3e-4, graph=1e-4, peak_bytes=10**9, error=0.1), None)
    assert len(line) == len(HEAD)


def test_a_failure_says_why():
    failed = Row(case=CASE.name, contender="eager", status=FAILED, note="y is off by 3.0e-01")
    assert row_line(failed, None) == f"  {'eager':<20}FAILED: y is off by 3.0e-01"


def test_bars_are_shown_for_the_cases_that_ran():
    assert bar_lines({}) == []
    lines = bar_lines({(CASE.name, "latentgeo"): row(eager=1e-4)})
    assert len(lines) == sum(bar.case == CASE.name for bar in BARS) == 1
    assert lines[0].startswith(f"G1  {CASE.name}") and lines[0].endswith("sdpa-flash: not run")
