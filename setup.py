"""Packaging of latentgeo: the folders beside this file are the subpackages of one namespace."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = ["core", "kernels", "models", "train", "infer", "eval"]
PACKAGES = find_packages(include=[f"{folder}{rooms}" for folder in FOLDERS for rooms in ("", ".*")])
ZOO = ["safetensors", "json", "jsonl", "toml", "zip", "png", "md", "txt", "gz"]
PARITY = ["diffusers", "transformers", "peft"]  # independent judges; the package imports none
SEPARABILITY = ["scikit-learn"]  # the support vector machines of eval/metrics/separability.py
AUDIT = ["latex2mathml"]  # typesets the equations of `audit --html`
COURSE = [
    *AUDIT,
    *("markdown-it-py", "mdit-py-plugins"),  # `book`: the chapters' Markdown
    "pytest>=8.4",  # `learn`: runs the tests that judge answers
]
STUDIO = ["gradio>=6", "fastapi", "uvicorn", *AUDIT]  # the page of `studio`, and its server
TEST = [
    "pytest-xdist>=3.6",
    "hypothesis>=6",
    "ruff>=0.12",
    "mypy>=1.15",
    *COURSE,
    *SEPARABILITY,
]
DATA = ["python_avatars", "resvg_py"]
GIVEN = [  # the tests that judge answers, which go into a wheel
    "tests/core/test_*.py",
    "tests/kernels/attention/test_reference.py",
    "tests/kernels/*/test_triton.py",
    "tests/kernels/test_convolution.py",
    "tests/pages.py",
    "tests/tensors.py",
]


class CleanBuild(build_py):
    """Build from an empty folder, so that a module deleted since the last build stays deleted."""

    def run(self) -> None:
        """Remove what an earlier build left, then build, with the tests of the course."""
        built = Path(self.build_lib) / "latentgeo"
        shutil.rmtree(built, ignore_errors=True)
        super().run()
        if self.editable_mode:
            return
        for path in (path for pattern in GIVEN for path in Path().glob(pattern)):
            place = built / "eval" / "course" / "given" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


setup(
    name="latentgeo",
    version="0.1.0",
    description="The geometry of diffusion latent spaces, from scratch in PyTorch and Triton",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={"latentgeo": "."},
    packages=[f"latentgeo.{name}" for name in PACKAGES],
    package_data={
        "latentgeo.core": ["PAPERS.md", "README.md", "papers/*.md", "papers/coverage/*.md"],
        "latentgeo.eval": ["README.md", "recipes/*.toml"],
        "latentgeo.eval.audit": ["*.css", "*.js"],
        "latentgeo.eval.course": ["*.md", "chapters/*.*", "chapters/figures/*/*"],
        "latentgeo.eval.course.book": ["*.css", "*.js"],
        "latentgeo.eval.page": ["stix-two-math.*", "theme.*"],
        "latentgeo.eval.smooth": ["drag_cases.json"],
        "latentgeo.eval.studio": ["*.css", "*.js"],
        "latentgeo.eval.zoo": ["chains/*.toml"],
        "latentgeo.infer": ["README.md"],
        "latentgeo.kernels": ["README.md"],
        "latentgeo.kernels.aot": ["golden/*.json"],
        "latentgeo.models": ["README.md"],
        "latentgeo.train": ["README.md", "recipes/*.toml"],
        "latentgeo.models.zoo": [f"**/*.{suffix}" for suffix in ZOO],
    },
    include_package_data=False,
    install_requires=[
        "torch>=2.11",
        "triton>=3.6; sys_platform == 'linux'",
        "numpy",
        "safetensors",
        "tokenizers",
        "pillow",
        "lpips",
        "torchvision",
        "scipy",
        "matplotlib",
    ],
    extras_require={
        "audit": AUDIT,
        "course": COURSE,
        "data": DATA,
        "separability": SEPARABILITY,
        "studio": STUDIO,
        "test": TEST,
        "parity": PARITY,
        "dev": [*TEST, *PARITY, *DATA, "pre-commit"],
    },
    entry_points={"console_scripts": ["latentgeo = latentgeo.core.run.main:main"]},
    cmdclass={"build_py": CleanBuild},
)
