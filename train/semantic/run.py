"""`latentgeo train-asyrp`: starts, texts and intervals brought together, and the loop run."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from latentgeo.core import asyrp
from latentgeo.core.run.ranks import ranks
from latentgeo.core.run.seeds import mix
from latentgeo.core.schedule import batch_time
from latentgeo.infer.data.shards import Shards
from latentgeo.infer.sampling.loading import loaded_hash
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.infer.semantic.editing import editing_times
from latentgeo.infer.semantic.intervals import Intervals, read_intervals
from latentgeo.infer.semantic.layers import EPS, check_layer, shiftable
from latentgeo.infer.semantic.noise import noises_of
from latentgeo.models.bundles.delta_h import DirectionTable, GlobalDirection, new_direction
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.formats.delta_file import Learned, Purpose
from latentgeo.models.judges.judge import load_judge
from latentgeo.models.unet_layers import H
from latentgeo.train.data.found import found
from latentgeo.train.data.stream import Batches, open_source
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import session, weight_hashes
from latentgeo.train.loop.task import Task
from latentgeo.train.loop.told import tell
from latentgeo.train.semantic.attributes import Wanted, read_attributes
from latentgeo.train.semantic.settings import Directed, TrainAsyrp
from latentgeo.train.semantic.task import AsyrpTask, Descent, Learning
from latentgeo.train.semantic.trajectories import Trajectories, steps_of

SPREAD = 0.2  # of the first values of Δh_t and Δh; at 0, L_direction has no gradient
MOVED = 0.02  # of what the first Δε_t do to P_t; the less, the larger that gradient


def train(settings: TrainAsyrp, judge: asyrp.Judge | None = None) -> None:
    """Run the command, with a judge of one's own in place of the one it names."""
    wanted, measured = wanted_of(settings), None
    if settings.intervals is not None:
        measured = read_intervals(settings.intervals)
    with session(settings, weight_hashes(settings.model)) as device:
        model = load_plain(
            settings.model, device, config=settings.model_config, prediction=settings.prediction
        )
        check_layer(model, settings.layer)
        judge = judge or judge_of(settings, device)
        visited = editing_times(model.schedule, settings.trained_steps)
        learnings = [learning(settings, model, judge, one, visited, measured) for one in wanted]
        x_T = starts(settings, model, visited)
        shown = x_T[: settings.samples]
        task = AsyrpTask(model, judge, learnings, visited, settings, shown)
        kind = Descent if settings.optimizer == "sgd" else Loop
        run_loop(kind, task, x_T, task.places, settings, device)


def run_loop(
    kind: type[Loop],
    task: Task,
    starts: Tensor,
    places: int,
    settings: Directed,
    device: torch.device,
) -> None:
    """Run a loop of a kind over all starts (N, C, h, w), each at so many places, for the epochs."""
    here = ranks()
    settings.part(here.world)
    seed, batch = settings.seed, settings.batch
    batches = Trajectories(starts, batch, places, seed, here.rank, here.world)
    steps = steps_of(len(starts), batch, places, settings.epochs)
    kind(task, batches, replace(settings, steps=min(settings.steps, steps)), device).run()


def wanted_of(settings: TrainAsyrp) -> list[Wanted]:
    """Return the attributes of the file, or the one of the command line."""
    if settings.attributes is not None:
        return read_attributes(settings.attributes)
    source, target = settings.texts
    return [Wanted(name=settings.name or "", source=source, target=target)]


def judge_of(settings: Directed, device: torch.device) -> asyrp.Judge:
    """Return the judge that the command names, frozen."""
    return load_judge(settings.judge, device, templates=settings.templates)


def learning(
    settings: TrainAsyrp,
    model: ImageModel,
    judge: asyrp.Judge,
    wanted: Wanted,
    visited: tuple[int, ...],
    measured: Intervals | None,
) -> Learning:
    """Return an attribute with a fresh direction, its texts' embeddings, weights and intervals.

    Asyrp Sec. J.1   λ_recon = 3 cos(E_T(y_source), E_T(y_target))

    Raises ValueError for a t_edit that is not in 1 … T, or that nothing says.
    """
    with torch.no_grad():
        texts = judge.texts([wanted.source, wanted.target]).to(model.device)
    similarity = torch.cosine_similarity(texts[0], texts[1], dim=0).item()
    t_edit = end_of(settings, wanted, similarity, measured)
    if not 1 <= t_edit <= visited[0]:
        raise ValueError(f"t_edit: got {t_edit} for {wanted.name}, wanted 1 to {visited[0]}")
    t_boost = measured.t_boost() if settings.t_boost is None and measured else settings.t_boost
    recon = settings.recon_weight if wanted.recon_weight is None else wanted.recon_weight
    clip = settings.clip_weight if wanted.clip_weight is None else wanted.clip_weight
    purpose = Purpose(
        name=wanted.name,
        source=wanted.source,
        target=wanted.target,
        similarity=similarity,
        S=settings.trained_steps,
        t_edit=t_edit,
        t_boost=t_boost,
        model=settings.model,
        weights=loaded_hash(model),
        layer=settings.layer,
    )
    times = [t for t in visited if t >= t_edit]
    return Learning(
        direction=fresh(settings.kind, model, times, settings.layer),
        purpose=purpose,
        texts=texts,
        t_edit=t_edit,
        clip_weight=clip,
        recon_weight=asyrp.recon_weight(similarity) if recon is None else recon,
    )


def end_of(
    settings: TrainAsyrp, wanted: Wanted, similarity: float, measured: Intervals | None
) -> int:
    """Return t_edit of an attribute: its own, or the run's, or what was measured for its texts.

    Raises ValueError where there is none of these.
    """
    given = settings.t_edit if wanted.t_edit is None else wanted.t_edit
    if given is not None:
        return given
    if measured is None:
        raise ValueError(
            f"t_edit: got none for {wanted.name}, wanted a time, or --intervals with a file that "
            "latentgeo eval-intervals wrote"
        )
    return measured.t_edit(similarity)


def fresh(kind: str, model: ImageModel, times: Sequence[int], layer: str = H) -> Learned:
    """Return a direction to learn: f_t, a table of Δh_t (or Δε_t) at these times, or one Δh.

    Asyrp Sec. L.2   the three that are compared
    """
    if kind == "implicit":
        return new_direction(model, layer)
    with torch.no_grad():
        x = torch.zeros(1, *model.shape, device=model.device, dtype=model.dtype)
        h, _ = shiftable(model, x, batch_time(1, x), layer=layer)
    if kind == "global":
        return GlobalDirection(SPREAD * torch.randn(h.shape[1:]).to(h))
    first = torch.randn(len(times), *h.shape[1:]).to(h)
    if layer == EPS:
        return eps_table(model, times, MOVED * first)
    return DirectionTable(times, SPREAD * first).to(h.device)


def eps_table(model: ImageModel, times: Sequence[int], moved: Tensor) -> DirectionTable:
    """Return a table of Δε_t to learn at one rate, whose P_t are moved by `moved` (T_e, C, h, w).

    Asyrp Eq. 3     Δε_t moves P_t by -√(1-α_t)/√α_t Δε_t, 158 times as far at T of DDPM's schedule
    Asyrp Sec. 3.2  Δε = argmin E_t L^(t), by descent in that move: of Δε_t at the rate α_t/(1-α_t)
    """
    bar = model.schedule.bar(torch.tensor(times), moved)
    ratio = bar / (1 - bar)
    table = DirectionTable(times, -ratio.sqrt() * moved).to(moved.device)
    table.shifts.register_hook(lambda slope: ratio * slope)
    return table


def starts(settings: Directed, model: ImageModel, visited: tuple[int, ...]) -> Tensor:
    """Return x_T (N, C, h, w), on the CPU, of real images or random.

    Asyrp Alg. 2      images are inverted once, before the training
    Asyrp Sec. J.2    x_T ~ N(0, I) in their place, where less of an image has to stay

    Raises ValueError where the data have fewer images than are asked for.
    """
    if settings.data is None:
        tell(
            f"drawing {settings.n_images} random starts, {model.config.sampling.size} pixels a side"
        )
        seeds = [mix(settings.seed, "x_T", i) for i in range(settings.n_images)]
        return seed_noises(seeds, model.shape)
    source = open_source(settings.data, model.config.sampling.size, allow_uncaptioned=True)
    if not isinstance(source, Shards) and len(source) < settings.n_images:
        raise ValueError(
            f"n_images must be at most {len(source)}, all that {settings.data} has, got "
            f"{settings.n_images}"
        )
    tell(found(source, None))
    images, _ = next(Batches(source, settings.n_images, settings.seed))
    folder = settings.out / "inversions" if settings.cache is None else settings.cache
    return noises_of(model, images, visited, folder, settings.refine)
