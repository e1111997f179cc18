"""The tab Directions, in the browser: a slider per direction, and the command's own files."""

from tests.eval.studio.tabs import done, same_bytes, tab


def test_each_direction_has_a_slider_that_begins_at_the_noise_itself(page, tmp_path):
    tab(page, "Directions")
    page.fill("#directions-count input[type=number]", "2")
    page.fill("#directions-steps input[type=number]", "2")
    line = done(page, "directions")
    assert page.locator("#directions-result input[type=range]").count() == 2
    said = page.locator("#directions-result output").all_inner_texts()
    assert said == ["γ = 0", "γ = 0"]
    files = {"directions.png": "directions/directions.png"}
    assert same_bytes(page, "directions", line, tmp_path, files)
