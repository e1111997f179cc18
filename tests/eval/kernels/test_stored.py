"""Rows on disk: of which sources they are, and which a name means."""

import pytest

from latentgeo.eval.kernels import stored as place
from latentgeo.eval.kernels.stored import keep, stored
from latentgeo.kernels.bench.roofline import Roofline
from latentgeo.kernels.bench.rows import OK, Row

MACHINE = Roofline(device="x", flop_per_second={"bf16": 1e12}, bytes_per_second=1e9)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that adds rows of some sources to a folder."""

    def add(version, commit, **seconds):
        monkeypatch.setattr(place, "sources", lambda: version)
        monkeypatch.setattr(place, "commit", lambda: commit)
        keep(tmp_path, MACHINE)
        for case, time in seconds.items():
            keep(tmp_path, Row(case=case, contender="latentgeo", status=OK, eager=time))
        return tmp_path

    return add


def test_rows_of_the_sources_written_last_are_meant_unless_others_are_named(write):
    write("abc1", "fff0", a=1.0, b=2.0)
    folder = write("def2", "eee9+", a=3.0)
    last = stored(str(folder))
    assert (last.sources, last.commit, last.machine) == ("def2", "eee9+", MACHINE)
    assert {case: row.eager for (case, _), row in last.rows.items()} == {"a": 3.0}
    for name in ("abc", "ff"):
        first = stored(f"{folder}@{name}")
        assert {case: row.eager for (case, _), row in first.rows.items()} == {"a": 1.0, "b": 2.0}
    assert str(first) == f"{folder}, sources abc1, commit fff0, 2 results"


def test_a_name_of_no_sources_is_refused_with_those_there_are(write):
    folder = write("abc1", "fff0", a=1.0)
    with pytest.raises(ValueError, match=r"no rows are of '9'; there are those of abc1 \(fff0\)"):
        stored(f"{folder}@9")


def test_a_folder_without_rows_is_refused(tmp_path):
    (tmp_path / "rows-0.jsonl").write_text('{"case": "a", "contender": "b"}\n')  # of no sources
    with pytest.raises(FileNotFoundError, match="no rows of bench-kernels"):
        stored(str(tmp_path))
