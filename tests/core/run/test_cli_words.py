"""Arguments without a flag, and fields whose names Python reserves."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from latentgeo.core.run.cli import option, parse, to_toml, word


@dataclass(frozen=True, kw_only=True)
class Copy:
    """Copy a file."""

    file: Path = word("what to copy")
    from_: Path | None = option(None, "where it is")


def test_a_word_without_a_flag_and_a_name_that_python_reserves():
    """`file` stands alone; the field `from_` is the flag `--from`."""
    assert parse(Copy, ["a", "--from", "b"]) == Copy(file=Path("a"), from_=Path("b"))
    assert parse(Copy, ["--from", "b", "a"]) == Copy(file=Path("a"), from_=Path("b"))
    assert parse(Copy, ["a"]) == Copy(file=Path("a"))
    with pytest.raises(ValueError, match="FILE is required: what to copy"):
        parse(Copy, ["--from", "b"])
    with pytest.raises(ValueError, match="unexpected argument 'c'"):
        parse(Copy, ["a", "c"])


def test_a_word_can_stand_in_a_config(tmp_path):
    (tmp_path / "run.toml").write_text(to_toml(Copy(file=Path("a"), from_=Path("b"))))
    config = ["--config", str(tmp_path / "run.toml")]
    assert parse(Copy, config) == Copy(file=Path("a"), from_=Path("b"))
    assert parse(Copy, [*config, "c"]).file == Path("c")
