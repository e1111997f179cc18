"""Published image models: a file's tensors tell which one it is."""

from itertools import combinations

from latentgeo.models.bundles.image_model import empty_image_model
from latentgeo.models.bundles.presets_image_models import IMAGE_PRESETS
from latentgeo.models.formats.files.source import Shape


def layout(name: str) -> dict[str, Shape]:
    state = empty_image_model(IMAGE_PRESETS[name]).unet.state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def test_no_two_have_the_same_tensors():
    layouts = {name: layout(name) for name in IMAGE_PRESETS}
    same = [pair for pair in combinations(layouts, 2) if layouts[pair[0]] == layouts[pair[1]]]
    assert not same


def test_variances_and_schedules_are_the_published_ones():
    """IDDPM Eq. 15 of all with ADM's network, IDDPM Eq. 17 of small ones; DDPM Alg. 2 else."""
    for name, config in IMAGE_PRESETS.items():
        learned = config.network == "adm"
        assert config.learned_variance == learned == (config.sampling.variance == "learned"), name
        assert config.schedule.build().T == config.schedule.T
        small = config.sampling.size < 128 and learned
        assert (config.schedule.kind == "cosine") == small, name
    assert IMAGE_PRESETS["ddpm-cifar10"].sampling.variance == "large"
    steps = {name for name, config in IMAGE_PRESETS.items() if config.schedule.T == 4000}
    assert steps == {"iddpm-imagenet64", "iddpm-imagenet64-classes", "iddpm-cifar10"}


def test_names_are_those_of_the_models():
    assert all(name == config.name for name, config in IMAGE_PRESETS.items())
