"""The grammar of the embedded set `avatars`: attributes of a face, and captions that state them.

A face has one value per attribute, drawn uniformly. A caption states a random part of them, always
in the same order, so that `parse_caption(caption(values, stated))` gives back what was stated:
this is how caption adherence is measured against exact labels. What a caption leaves open is for
the latent noise to decide.
"""

import random

MOUTH = {
    "smiling": "smiling",
    "serious": "serious",
    "sad": "sad",
    "surprised": "surprised",
    "tongue": "cheeky",
}
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "mouth": tuple(MOUTH),
    "eyes": ("open", "closed", "winking", "heart"),
    "brows": ("normal", "raised", "angry"),
    "hair": ("no", "short", "long", "curly", "bun", "bob", "afro"),
    "hair_colour": ("black", "brown", "blond", "red", "gray", "pink"),
    "facial_hair": ("none", "beard", "moustache"),
    "accessory": ("none", "glasses", "round glasses", "sunglasses"),
    "skin": ("pale", "light", "tanned", "brown", "dark"),
    "clothes": ("hoodie", "t-shirt", "blazer", "overall"),
    "clothes_colour": ("white", "black", "red", "blue", "green", "yellow"),
    "background": ("white", "gray", "blue", "green", "pink", "yellow", "purple", "orange"),
}
STATED = 0.75  # probability that a caption states an attribute
GROUPS = {"hair_colour": "hair", "clothes_colour": "clothes"}  # stated only together with


def draw(rng: random.Random) -> dict[str, str]:
    """Return one value per attribute, uniform but for what a face may well go without.

    Two thirds have no facial hair, 19 of 40 no accessory.
    """
    values = {name: rng.choice(choices) for name, choices in ATTRIBUTES.items()}
    if rng.random() < 0.5:
        values["facial_hair"] = "none"
    if rng.random() < 0.3:
        values["accessory"] = "none"
    return values


def draw_stated(values: dict[str, str], rng: random.Random) -> set[str]:
    """Return the attributes that a caption of these values states, each with probability STATED."""
    stated = {name for name in ATTRIBUTES if rng.random() < STATED}
    stated -= {name for name, group in GROUPS.items() if group not in stated}
    if values["hair"] == "no":
        stated.discard("hair_colour")
    return stated


def caption(values: dict[str, str], stated: set[str]) -> str:
    """Return the caption that states these attributes of these values, and no others.

    Absent things go unsaid: a face without a beard is not called beardless, so "none" is never
    written, and is never counted as stated.
    """
    told = {name: values[name] for name in stated if values[name] != "none"}
    adjective = MOUTH[told["mouth"]] + " " if "mouth" in told else ""
    skin = f"{told['skin']}-skinned " if "skin" in told else ""
    parts = _features(told)
    text = f"a {adjective}{skin}person"
    if parts:
        text += " with " + _listed(parts)
    if "clothes" in told:
        colour = told.get("clothes_colour", "")
        text += f" wearing {_article(' '.join(filter(None, (colour, told['clothes']))))}"
    if "background" in told:
        text += f" on {_article(told['background'] + ' background')}"
    return text


def shortened(text: str, rng: random.Random) -> str:
    """Return a caption that states k of what this one states, k uniform on 0 … all.

    Half of them call the person a face, and half leave out what kind of hair has a colour. A colour
    goes where its thing does. A caption that is not of this grammar comes back as it is.
    """
    values = parse_caption(text)
    if caption(values, set(values)) != text:
        return text
    kept = set(rng.sample(sorted(values), rng.randint(0, len(values))))
    kept -= {name for name, group in GROUPS.items() if group not in kept}
    said = caption(values, kept)
    if rng.random() < 0.5 and "hair_colour" in kept:
        coloured = f" {values['hair_colour']} hair"
        said = said.replace(f" {values['hair']}{coloured}", coloured, 1)
    return said.replace("person", "face", 1) if rng.random() < 0.5 else said


def prompts() -> dict[str, dict[str, str]]:
    """Return the shortest captions, by attribute and value; of clothes' colours there are none."""
    told = {
        name: {value: caption({name: value}, {name}) for value in values if value != "none"}
        for name, values in ATTRIBUTES.items()
        if name not in GROUPS
    }
    colours = {one: f"a person with {one} hair" for one in ATTRIBUTES["hair_colour"]}
    return told | {"hair_colour": colours}


def parse_caption(text: str) -> dict[str, str]:
    """Return the attributes that a caption of this grammar states, with their values.

    Words outside the grammar are passed over; a caption in free words states nothing.
    """
    words = text.lower().replace(",", " ").split()
    found: dict[str, str] = {}
    spoken = {said: value for value, said in MOUTH.items()}
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if word in spoken:
            found["mouth"] = spoken[word]
        elif word.endswith("-skinned"):
            found["skin"] = word.removesuffix("-skinned")
        elif word in ("eyes", "brows", "background"):
            found[word] = before
        elif word in ("beard", "moustache"):
            found["facial_hair"] = word
        elif word in ("glasses", "sunglasses"):
            found["accessory"] = "round glasses" if before == "round" else word
        elif word in ATTRIBUTES["clothes"]:
            found["clothes"] = word
            if before in ATTRIBUTES["clothes_colour"]:
                found["clothes_colour"] = before
        elif word == "hair" and after != "colour":
            found.update(_hair(words[: words.index("hair")]))
    return {name: value for name, value in found.items() if value in ATTRIBUTES[name]}


def _features(told: dict[str, str]) -> list[str]:
    parts = []
    if "hair" in told:
        parts.append(" ".join(filter(None, (told["hair"], told.get("hair_colour"), "hair"))))
    for name in ("eyes", "brows"):
        if name in told:
            parts.append(f"{told[name]} {name}")
    if "facial_hair" in told:
        parts.append(f"a {told['facial_hair']}")
    if "accessory" in told:
        parts.append(told["accessory"])
    return parts


def _hair(before: list[str]) -> dict[str, str]:
    found = {}
    if before and before[-1] in ATTRIBUTES["hair_colour"]:
        found["hair_colour"] = before.pop()
    if before and before[-1] in ATTRIBUTES["hair"]:
        found["hair"] = before[-1]
    return found


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
