"""What the page of a comparison says of ratios follows their intervals and which way is better."""

from latentgeo.eval.compare.measure import Outcome
from latentgeo.eval.compare.page import ratios, verdict
from latentgeo.eval.runs.results import RATIO, Result


def ratio(metric, low, high, model="smooth", to="base"):
    return Result(
        paper="",
        metric=f"{metric}{RATIO}{to}",
        model=model,
        value=(low * high) ** 0.5,
        interval=[low, high],
        n=7,
        seed=0,
    )


OUTCOMES = {
    "istd": Outcome([ratio("ISTD", 0.5, 0.7, to="avatars")], {"ISTD": "lower"}),
    "quality": Outcome(
        [
            ratio("FD", 1.1, 1.3),
            ratio("adherence", 1.01, 1.2),
            ratio("adherence", 0.9, 0.95, "both"),
            ratio("MSE", 2, 3, to="the VAE's own"),
        ],
        {"FD": "lower", "adherence": "higher"},
    ),
    "mrtl": Outcome([ratio("mRTL", 0.9, 1.1), ratio("RTL at t = 3", 0.1, 0.2)], {"mRTL": "lower"}),
}


def test_a_model_is_better_where_its_interval_leaves_no_doubt():
    assert verdict(OUTCOMES, "smooth") == (
        "smooth, beside the base: better in ISTD, adherence; worse in FD; not told apart in mRTL."
    )
    assert verdict(OUTCOMES, "both") == "both, beside the base: worse in adherence."


def test_ratios_are_the_metrics_shown_with_which_way_is_better():
    found = [(one.metric, one.model) for one in ratios(OUTCOMES)]
    assert found == [
        ("ISTD (lower is better)", "smooth"),
        ("FD (lower is better)", "smooth"),
        ("adherence (higher is better)", "smooth"),
        ("adherence (higher is better)", "both"),
        ("mRTL (lower is better)", "smooth"),
    ]
