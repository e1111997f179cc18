"""A bench that tries answers, shared by the tests: it loads torch once."""

import pytest

from latentgeo.eval.course.learn.bench import Bench


@pytest.fixture(scope="session")
def bench():
    with Bench(20, 2.0) as made:
        yield made
