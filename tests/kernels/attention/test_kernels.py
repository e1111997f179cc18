"""The kernels compiled for an A100 and an H100, which takes no GPU: what is in their machine code.

The interpreter accepts programs that the compiler does not, and knows neither registers nor the
number of matrix products that a program makes. `latentgeo bench-aot` reports all kernels; here are
some, and what golden files say of the rest.
"""

import pytest

from latentgeo.kernels.aot import golden_files
from latentgeo.kernels.aot.process import start
from latentgeo.kernels.aot.rows import MEASURED, REPLICATION, Request

pytest.importorskip("triton")
PRODUCTS = {  # N×M×d products, of all tangents and of q's alone; the whole of both orders is 29
    "forward": (2, 2),
    "jvp": (5, 3),
    "vjp_queries": (3, 3),
    "vjp_keys": (4, 4),
    "hvp_queries": (7, 4),
    "hvp_keys": (8, 6),
}
SECOND = ("attention.jvp", "attention.hvp")
REQUESTS = (
    Request(arch=("sm_80",), dtype=("bf16",), head_dims=(40,), kernels=SECOND),
    Request(arch=("sm_90",), dtype=("fp16",), head_dims=(80, 160), kernels=("attention.hvp_keys",)),
)
MOST_SHARED = 163 * 1024  # bytes of a program on an A100


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Return each request with its rows, and Triton's version."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        found = []
        for request in REQUESTS:
            report = start(request)
            found.append((request, list(report.outcomes)))
        return report.triton, found


@pytest.fixture(scope="module")
def rows(reports):
    return [row for _, found in reports[1] for row in found]


def test_no_register_spills_and_none_of_their_allocations_collapses(rows):
    assert len(rows) == 6 + 4
    for row in rows:
        assert not row.collapsed and row.stack == row.local == row.loads == row.stores == 0, row.key


def test_no_product_is_made_twice(rows):
    """Counted in the machine code, against the count on paper; text has tangents of q alone."""
    for row in rows:
        assert row.replication <= REPLICATION, row.key
        assert row.products == pytest.approx(PRODUCTS[row.kernel][row.case == "text"]), row.key


def test_double_backward_takes_20_products(rows):
    image = [row for row in rows if row.arch == "sm_80" and row.case == "self"]
    assert sum(row.products for row in image) <= 20


def test_shared_memory_suffices_and_is_filled_asynchronously(rows):
    for row in rows:
        assert 0 < row.shared <= MOST_SHARED and row.copies > 0 and row.programs >= 1, row.key


def test_tensor_cores_can_be_busy(rows):
    """At d = 40 a sixth of the products is with the padding of d, to 48."""
    for row in rows:
        if row.arch == "sm_80":
            assert row.ceiling == pytest.approx(40 / 48), row.key


def test_the_golden_file_says_the_same(reports):
    version, found = reports
    numbers = golden_files.read(golden_files.path(version))
    if numbers is None:
        pytest.skip(f"there is no golden file for Triton {version}")
    for request, rows in found:
        assert not golden_files.differences(numbers, request, rows)


@pytest.mark.parametrize(
    "file", sorted(golden_files.FOLDER.glob("*.json")), ids=lambda file: file.stem
)
def test_golden_files_hold_the_bars(file):
    """Attention in 16 bits at the head dims of Stable Diffusion 1.5, on both GPUs."""
    bars = Request(
        arch=("sm_80", "sm_90"),
        dtype=("bf16", "fp16"),
        head_dims=(40, 80, 160),
        kernels=("attention",),
    )
    covered = {key: found for key, found in golden_files.read(file).items() if bars.covers(key)}
    assert len(covered) == 2 * 2 * 3 * len(PRODUCTS) * 2  # of an image, and of text
    for key, numbers in covered.items():
        of = dict(zip(MEASURED, numbers, strict=True))
        assert of["stack"] == of["local"] == of["loads"] == of["stores"] == 0, key
        assert of["shared"] <= MOST_SHARED and of["tensor"] > 0 and of["copies"] > 0, key
