"""Numbers in Markdown that are filled in from results, not typed. Imports no torch.

Mark       `<!--=key-->0.385<!--/-->`: what was computed for `key`, in the digits typed; readers of
           the page see the number alone
Several    the numbers between are the value, then the ends of its interval: `2.43 [2.15, 2.70]`
Percent    where a % is between, they are hundred times as large
Derived    `key.n` is how many it is of, `key.less` 1 - value, `key.negated` -value
"""

import re
from collections.abc import Mapping, Sequence

Value = float | str | Sequence[float]  # text; a number; value, low, high, and n

MARK = re.compile(r"<!--=(?P<key>[\w.-]+)-->(?P<typed>.*?)<!--/-->")
NUMBER = re.compile(r"[+−-]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[−-]?\d+)?")
PARTS = {"low": 1, "high": 2, "n": 3}


def filled(text: str, values: Mapping[str, Value], strict: bool = True) -> str:
    """Return a page whose numbers are those given, in the form that each is typed in.

    Raises ValueError for a key without a value, unless `strict` is false: then it stays.
    """

    def computed(mark: re.Match[str]) -> str:
        value = value_of(mark["key"], values)
        if value is None and strict:
            raise ValueError(f"{mark['key']}: no result has this number")
        typed = mark["typed"] if value is None else written(value, mark["typed"])
        return f"<!--={mark['key']}-->{typed}<!--/-->"

    return MARK.sub(computed, text)


def stale(text: str, values: Mapping[str, Value]) -> list[str]:
    """Return the numbers of a page that are not those given, with what these are."""
    pairs = zip(MARK.finditer(text), MARK.finditer(filled(text, values)), strict=True)
    return [
        f"{old['key']}: {old['typed']} is written, {new['typed']} was computed"
        for old, new in pairs
        if old[0] != new[0]
    ]


def value_of(key: str, values: Mapping[str, Value]) -> Value | None:
    """Return the value of a key, or what its last word derives from the one before; or None."""
    if key in values:
        return values[key]
    name, _, word = key.rpartition(".")
    found = values.get(name)
    if found is None or isinstance(found, float | int | str):
        return None
    if word in PARTS:
        return found[PARTS[word]]
    value, low, high = found[:3]
    derived = {"less": (1 - value, 1 - high, 1 - low), "negated": (-value, -high, -low)}
    return derived.get(word)


def written(value: Value, like: str) -> str:
    """Return a value in the form of text that is typed; ValueError where it has too few numbers."""
    if isinstance(value, str):
        return value
    numbers = [value] if isinstance(value, float | int) else list(value)
    factor = 100 if "%" in like else 1
    wanted = len(NUMBER.findall(like))
    if not 1 <= wanted <= len(numbers):
        raise ValueError(f"{like!r}: got {wanted} numbers, wanted 1 to {len(numbers)}")
    each = iter(numbers)
    return NUMBER.sub(lambda typed: formatted(factor * next(each), typed[0]), like)


def formatted(value: float, like: str) -> str:
    """Return a number in the form of one that is typed: its decimals, commas, or power of ten."""
    mantissa, power, _ = like.partition("e")
    comma = "," if "," in mantissa else ""
    text = f"{value:{comma}.{len(mantissa.partition('.')[2])}{'e' if power else 'f'}}"
    text = re.sub(r"e\+?(-?)0*(?=\d)", r"e\1", text)
    nothing = not float(text.replace(",", ""))
    if text.startswith("-"):
        return ("" if nothing else "−") + text[1:]
    return ("+" if like.startswith("+") and not nothing else "") + text
