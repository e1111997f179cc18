"""The tables of Smooth Diffusion, whole, on a tiny model."""

import json
import shutil

import pytest

from latentgeo.eval.smooth.settings import EvalTables
from latentgeo.eval.smooth.table_rows import tables_of
from latentgeo.eval.smooth.tables import evaluate_tables

COUNTS = {"n_prompts": 3, "n_images": 10, "inverted": 3, "fitted": 2, "inner": 1}


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    """A model with adapters of two λ and one rank beside it."""
    folder = tmp_path_factory.mktemp("tables") / "model"
    shutil.copytree(tiny.model, folder)
    for name in ("smooth_lora_lambda_10", "smooth_lora_lambda_0.1", "smooth_lora_rank_4"):
        shutil.copy(folder / "smooth_lora.safetensors", folder / f"{name}.safetensors")
    return folder


def command(model, tiny, out, **given):
    return EvalTables(
        paper="smooth",
        out=out,
        models=(str(model), f"{model}+smooth_lora"),
        data=tiny.data,
        classifier=tiny.classifier,
        device="cpu",
        **COUNTS,
        **given,
    )


def test_rows_are_the_papers_and_the_adapters_beside_the_model(model, tiny, tmp_path):
    """Smooth Table 3, Smooth Table 4"""
    tables = {table.number: table for table in tables_of(command(model, tiny, tmp_path))}
    assert [row.label for row in tables[1].rows] == ["base", "smooth"]
    ratios = {row.label: row.spec for row in tables[3].rows}
    assert 2 not in tables
    assert list(ratios) == ["base", "λ = 0.1", "λ = 1", "λ = 10"]
    assert ratios["λ = 1"] is None
    assert ratios["λ = 0.1"] == f"{model}+smooth_lora_lambda_0.1"
    labels = [row.label for row in tables[4].rows]
    assert labels == ["base", "rank 4", "rank 8", "rank 16", "all weights"]


def test_models_can_be_named_and_must_be_there(model, tiny, tmp_path):
    given = command(model, tiny, tmp_path, tables=("4",), rank_models=(f"full={model}",))
    assert tables_of(given)[0].rows[-1].spec == str(model)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tables_of(command(model, tiny, tmp_path, ratio_models=(f"1={model}+nowhere",)))
    with pytest.raises(ValueError, match="ratio_models: got '1', wanted VALUE=MODEL"):
        command(model, tiny, tmp_path, ratio_models=("1",))


def test_equal_models_have_equal_cells_and_missing_ones_none(model, tiny, tmp_path):
    """Smooth Tab. 1: of the walks and samples of each model, whatever table it is in."""
    results = evaluate_tables(command(model, tiny, tmp_path, tables=("1", "3")))
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in text.splitlines()}
    assert rows["| λ = 0.1"] == rows["| λ = 10"] == rows["| smooth"] != rows["| base"]
    assert set(rows["| λ = 1"]) == {"–", "– |"}
    assert "No model is here for: λ = 1" in text
    kept = json.loads((tmp_path / "results.json").read_text())["results"]
    assert len(kept) == len(results)
    changes = [one.metric.split(", minus ")[1] for one in results if ", minus " in one.metric]
    assert {*changes} == {"base"}
    assert all(one["n"] and one["settings"] for one in kept)
    (ratio,) = [
        one for one in results
        if one.model == "table 3: λ = 10" and one.metric.startswith("ISTD, ratio")
    ]  # fmt: skip
    assert ratio.value != 1


def test_reconstructions_are_below_what_the_autoencoder_gives(model, tiny, tmp_path):
    """Smooth Tab. 2: two models by two methods; the autoencoder's row bounds them."""
    results = evaluate_tables(command(model, tiny, tmp_path, tables=("2",)))
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert rows[2:] == [
        *("| base + DDIM", "| smooth + DDIM", "| base + NTI", "| smooth + NTI", "| VAE alone")
    ]
    found = {(one.model.partition(": ")[2], one.metric): one for one in results}
    assert found["base + DDIM", "MSE"].n == 3 and found["base + NTI", "MSE"].n == 2
    assert {metric for _, metric in found} == {"MSE", "LPIPS", "SSIM", "PSNR"}
    assert "MSE: n = 2 or 3" in text
