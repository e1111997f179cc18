"""Where the embedded models and their data are, inside the package."""

from pathlib import Path

ZOO = Path(__file__).parent  # a folder per model; `data`, `lpips` and `tokenizer` beside them
AVATARS = ZOO / "data" / "avatars.zip"  # captioned faces: `train`, and `test`, held out
