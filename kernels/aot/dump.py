"""What the compiler made of a kernel, step by step, as files that a name finds.

<operator>.<kernel> d<d> <dtype> <layout> <case> <arch>.<step>, with hyphens for spaces, such as
attention.jvp-d40-bf16-tokens-first-self-sm_80.ptx. The steps, in the compiler's order: ttir and
ttgir are Triton's, llir is LLVM's, ptx and sass are NVIDIA's; sass is what runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from latentgeo.kernels.aot.specialize import Specialization

STEPS: Final = ("ttir", "ttgir", "llir", "ptx")  # beside sass, which a disassembler gives


def stem(arch: str, entry: Specialization) -> str:
    """Return the name of a kernel's files, without the step."""
    size = "" if entry.head_dim is None else f"d{entry.head_dim}"
    words = [entry.name, size, entry.dtype, entry.layout, entry.case, entry.variant, arch]
    return re.sub(r"[^\w.=]+", "-", " ".join(words).replace("²", "^2")).strip("-")


def dump(folder: Path, arch: str, entry: Specialization, kernel: Any, sass: str) -> list[Path]:
    """Write a compiled kernel's steps into a folder and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {step: kernel.asm[step] for step in STEPS} | {"sass": sass}
    files = []
    for step, text in texts.items():
        files.append(folder / f"{stem(arch, entry)}.{step}")
        files[-1].write_text(text, encoding="utf-8")
    return files
