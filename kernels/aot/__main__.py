"""Compile what a request asks for and print a line of JSON for each kernel: the child process.

Triton reads TRITON_INTERPRET once, when it is imported, and interpreted functions cannot be
compiled; so `process.py` runs this in a process of its own, without the variable.

    python -m latentgeo.kernels.aot '{"arch": ["sm_80"], "kernels": ["attention.hvp"]}'

Output   how many kernels there are and Triton's version, then a Row or a Failure each, in order
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import triton

from latentgeo.kernels.aot.jobs import jobs, outcomes
from latentgeo.kernels.aot.rows import request_of


def main(text: str) -> None:
    """Answer a request."""
    request = request_of(json.loads(text))
    found = jobs(request)
    print(json.dumps({"kernels": len(found), "triton": triton.__version__}), flush=True)
    folder = None if request.dump is None else Path(request.dump)
    for result in outcomes(found, request.jobs, folder):
        print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
