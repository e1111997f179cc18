"""The page of equations as it is served, and the tabs' links to it."""

import re
import sys

import pytest

from latentgeo.eval.audit.article import anchor_of
from latentgeo.eval.audit.ledger import ROOT, row_of
from latentgeo.eval.studio import equations
from latentgeo.eval.studio.frame import TABS
from latentgeo.eval.studio.service.parts import why


@pytest.mark.parametrize("build", [build for title, build in TABS if title != equations.TITLE])
def test_every_tab_says_why_by_equations_that_there_are(build):
    tags = sys.modules[build.__module__].WHY
    for tag in tags:
        assert row_of(tag).implemented
        assert f'href="equations#{anchor_of(tag)}"' in why(tags)


def test_no_way_leads_from_the_page_to_a_file():
    text = equations.page()
    for build in [build for title, build in TABS if title != equations.TITLE]:
        for tag in sys.modules[build.__module__].WHY:
            assert f'<article id="{anchor_of(tag)}"' in text
    ways = {way[:1] for way in re.findall(r'href="([^"]*)"', text)}
    assert ways == {"#", "?"} and str(ROOT) not in text
