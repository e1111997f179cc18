"""The tab Directions, in the browser: a slider per direction, and the command's own files."""

from tests.eval.studio.test_frame import again, done, kept, page, tab  # noqa: F401


def test_each_direction_has_a_slider_that_begins_at_the_noise_itself(page, tmp_path):  # noqa: F811
    tab(page, "Directions")
    page.fill("#directions-count input[type=number]", "2")
    page.fill("#directions-steps input[type=number]", "2")
    line = done(page, "directions")
    assert page.locator("#directions-result input[type=range]").count() == 2
    said = page.locator("#directions-result output").all_inner_texts()
    assert said == ["γ = 0", "γ = 0"]
    again(line, tmp_path)
    written = (tmp_path / "out" / "directions" / "directions.png").read_bytes()
    assert kept(page, "directions", "directions.png") == written
