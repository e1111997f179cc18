"""Plain-text mathematics becomes MathML, prose stays text, and few statements are left as text."""

from xml.etree import ElementTree

import pytest

from latentgeo.eval.audit.ledger import rows
from latentgeo.eval.audit.mathml import typeset

MOST_LEFT = 0  # statements that may be shown as they are


def brief(statement):
    """Return a statement's tree as nested text: sup(x,2) for <msup>."""
    names = {"msup": "sup", "msub": "sub", "msubsup": "subsup", "mfrac": "frac", "msqrt": "root"}
    names |= {"munder": "under", "mover": "over", "munderover": "underover"}

    def walk(node):
        inside = [walk(child) for child in node]
        if node.tag in names:
            return f"{names[node.tag]}({','.join(inside)})"
        return (node.text or "").strip() + "".join(inside) + (node.tail or "" if depth else "")

    depth = 0
    tree = ElementTree.fromstring(f"<x>{typeset(statement)}</x>")
    return " ".join(
        part
        for part in [(tree.text or "").strip()]
        + [text for math in tree for text in (walk(math), (math.tail or "").strip())]
        if part
    )


@pytest.mark.parametrize(
    ("statement", "tree"),
    [
        ("x_t = y^2", "sub(x,t)=sup(y,2)"),
        ("x_{t-1}", "sub(x,t−1)"),
        ("h_i^{k+1}", "subsup(h,i,k+1)"),
        ("x̂^l_hw", "subsup(over(x,^),hw,l)"),
        ("P_t_edit", "sub(P,sub(t,edit))"),
        ("J_εᵀ", "subsup(J,ε,T)"),
        ("J⁻¹", "sup(J,−1)"),
        ("(x)^½", "sup((x),frac(1,2))"),
        ("z*_{t-1}", "subsup(z,t−1,*)"),
        ("h'_t", "subsup(h,t,′)"),
        ("√ᾱ_t x_0", "root(sub(over(α,‾),t))sub(x,0)"),
        ("√(1-ᾱ_t) ε", "root(1−sub(over(α,‾),t))ε"),
        ("√(n (1-a))", "root(n(1−a))"),
        ("(x - y)/(a b)", "frac(x−y,ab)"),
        ("(a)(b) / c", "(a)frac(b,c)"),
        ("a/b/c", "frac(frac(a,b),c)"),
        ("1/√α_t (x - y)", "frac(1,root(sub(α,t)))(x−y)"),
        ("σ_M(J) / σ_m(J)", "frac(sub(σ,M)(J),sub(σ,m)(J))"),
        ("E[Tr(R)]²", "sup(E[Tr(R)],2)"),
        ("∂L_ms/∂ẑ", "frac(∂sub(L,ms),∂over(z,^))"),
        ("‖Δx̂_0‖²_2", "subsup(‖Δsub(over(x,^),0)‖,2,2)"),
        ("1/N Σ_i x_i", "frac(1,N)under(∑,i)sub(x,i)"),
        ("Π_{s≤t} α_s", "under(∏,s≤t)sub(α,s)"),
        ("Π(x), Π⁻¹(z)", "Π(x),sup(Π,−1)(z)"),
        ("q(x | y) ~ |t - s|", "q(x|y)∼|t−s|"),
        ("xW + b", "xW+b"),
        ("10⁻⁴", "sup(10,−4)"),
        ("batch 96, 30,000 steps", "batch 96,30,000 steps"),
        ("A is random and B is zero, so ΔW = 0", "A is random and B is zero, so ΔW=0"),
        ("mean of a norm", "mean of a norm"),
    ],
)
def test_grammar(statement, tree):
    assert brief(statement) == tree


def test_prose_within_a_formula_keeps_its_spaces():
    assert "<mtext>over&#160;</mtext>" not in typeset("min over x")
    text = typeset("L = (entropy over rows + x) / 2")
    assert "<mtext>entropy</mtext><mtext>&#160;over</mtext><mtext>&#160;rows&#160;</mtext>" in text


@pytest.mark.parametrize("statement", ["x_", "(x", "x)", "‖x", "x_{t", "√", "^2", "a /"])
def test_what_is_not_of_the_grammar_is_left_as_it_is(statement):
    assert typeset(statement) is None


def test_markup_of_a_statement_is_escaped():
    assert typeset("t < T & <b>") is not None and "<b>" not in typeset("t < T & <b>")


def test_every_statement_is_well_formed_and_few_are_left():
    left = []
    for row in rows():
        markup = typeset(row.statement)
        if markup is None:
            left.append(row.tag)
            continue
        tree = ElementTree.fromstring(f"<x>{markup}</x>")
        for node in tree.iter():
            wanted = {"msup": 2, "msub": 2, "mfrac": 2, "munder": 2, "mover": 2, "msubsup": 3}
            assert len(node) == wanted.get(node.tag, len(node)), (row.tag, node.tag)
    assert len(left) <= MOST_LEFT, left
