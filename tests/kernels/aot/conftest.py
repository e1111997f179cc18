"""A row of the report to vary."""

import pytest

from latentgeo.kernels.aot.rows import Row

ROW = Row(
    arch="sm_80",
    dtype="bf16",
    family="attention",
    kernel="hvp_keys",
    head_dim=40,
    case="self",
    variant="",
    tile=(32, 128),
    warps=8,
    stages=2,
    registers=170,
    stack=0,
    local=0,
    loads=0,
    stores=0,
    shared=58880,
    programs=1,
    tensor=96,
    replication=1.0,
    products=8.0,
    copies=20,
    mufu=19,
    loop=431,
    ceiling=0.8333,
    collapsed=False,
    layout="tokens-first",
    mask="bool",
    instructions=900,
    per_element=13.5,
    read_bits=(8, 128),
    write_bits=(32, 32),
)


@pytest.fixture
def row():
    return ROW
