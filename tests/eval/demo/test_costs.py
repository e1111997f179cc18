"""What the demo is expected to cost: of every section, and no other."""

from dataclasses import replace

from latentgeo.eval.demo.costs import COSTS, expected
from latentgeo.eval.demo.plans import FULL, QUICK, SHORT, plan_of
from latentgeo.eval.demo.sections import SECTIONS
from latentgeo.eval.demo.settings import Demo


def test_sections_and_costs_are_of_the_same_titles_in_one_order():
    assert list(COSTS) == list(SECTIONS)


def test_longer_plans_cost_more_and_leave_nothing_out(tmp_path):
    cmd = Demo(out=tmp_path)
    quick, short, full = (expected(cmd, plan) for plan in (QUICK, SHORT, FULL))
    assert list(full) == list(SECTIONS)
    assert set(quick) < set(short) < set(full)
    for title, cost in short.items():
        assert 0 < cost <= full[title], title


def test_lengths_are_chosen_by_the_command(tmp_path):
    assert plan_of(Demo(out=tmp_path)) == SHORT
    assert plan_of(Demo(out=tmp_path, quick=True)) == QUICK
    assert plan_of(Demo(out=tmp_path, full=True)) == FULL


def test_more_steps_cost_more(tmp_path):
    few, many = (expected(Demo(out=tmp_path, steps=steps), SHORT) for steps in (5, 50))
    none = expected(Demo(out=tmp_path), replace(SHORT, steps=None))
    assert few["Samples"] < none["Samples"] < many["Samples"]
