"""Files of attributes: TOML and JSON, and what they refuse."""

import pytest

from latentgeo.train.semantic.attributes import Wanted, read_attributes

GOOD = '[smile]\nsource = "face"\ntarget = "smiling face"\nt_edit = 500\n'


def test_both_kinds_of_file(tmp_path):
    (tmp_path / "a.toml").write_text(GOOD + '[hat]\nsource = "p"\ntarget = "q"\nclip_weight = 1\n')
    (tmp_path / "a.json").write_text('{"smile": {"source": "face", "target": "x"}}')
    smile = Wanted(name="smile", source="face", target="smiling face", t_edit=500)
    hat = Wanted(name="hat", source="p", target="q", clip_weight=1)
    assert read_attributes(tmp_path / "a.toml") == [smile, hat]
    assert read_attributes(tmp_path / "a.json") == [Wanted(name="smile", source="face", target="x")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[a", "not valid"),
        ("", "a table by name"),
        ("a = 3", "a is 3"),
        ('[a]\nsource = "x"\n', "target is missing"),
        (GOOD.replace("t_edit", "tedit"), "'tedit'; did you mean t_edit"),
        (GOOD.replace("500", "0.5"), "t_edit is 0.5"),
        (GOOD.replace("[smile]", '["a/b"]'), "name of a file"),
    ],
)
def test_what_is_refused(tmp_path, text, named):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.toml.*" + named.replace("[", r"\[")):
        read_attributes(path)
