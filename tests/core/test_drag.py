"""Drag editing on feature maps whose answer is known: planes, blobs, borders."""

import math

import pytest
import torch
import torch.nn.functional as F

from latentgeo.core import drag

HEIGHT, WIDTH = 11, 13


def grid(height=HEIGHT, width=WIDTH):
    """Return x and y (height, width) of the cells, float64."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64),
        torch.arange(width, dtype=torch.float64),
        indexing="ij",
    )
    return x, y


def plane():
    """Return features (3, H, W) that are linear in x and y, so that bilinear reading is exact."""
    x, y = grid()
    return torch.stack([x, y, 2 * x - 3 * y + 1])


def blob(centre, width=1.7):
    """Return features (2, H, W) around a centre: how near a cell is, and on which side."""
    x, y = grid()
    near = torch.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))
    return torch.stack([near, near * (x - centre[0])])


def points(*pairs):
    return torch.tensor(pairs, dtype=torch.float64)


def test_rescaled_points_are_where_an_image_of_another_size_has_them():
    """Twice as fine a map of a plane has, at the rescaled point, the plane's value there."""
    x, y = grid(2 * HEIGHT, 2 * WIDTH)
    fine = torch.stack([(x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5])
    where = points([3.3, 4.7], [7, 2])
    scale = points([2, 2])[0]
    torch.testing.assert_close(drag.sample(fine, drag.rescale(where, scale)), where)
    back = drag.rescale(drag.rescale(where, scale), 1 / scale)
    torch.testing.assert_close(back, where)


def test_map_resized_by_torch_keeps_its_points():
    """The convention is interpolate's: a resized map has the same features at rescaled points."""
    fine = F.interpolate(plane()[None], scale_factor=3.0, mode="bilinear")[0]
    where = points([3.2, 4.6], [6.9, 2.1])
    found = drag.sample(fine, drag.rescale(where, points([3, 3])[0]))
    torch.testing.assert_close(found, drag.sample(plane(), where))


def test_sample_is_the_cell_at_whole_numbers_and_linear_between():
    features = torch.randn(5, HEIGHT, WIDTH, dtype=torch.float64, generator=seeded(1))
    found = drag.sample(features, points([0, 0], [12, 10], [7, 3]))
    torch.testing.assert_close(
        found, torch.stack([features[:, y, x] for x, y in [(0, 0), (12, 10), (7, 3)]])
    )
    where = points([0.25, 9.5], [11.75, 0.125])
    x, y = where.unbind(-1)
    torch.testing.assert_close(
        drag.sample(plane(), where), torch.stack([x, y, 2 * x - 3 * y + 1], dim=-1)
    )


@pytest.mark.parametrize(
    "outside", [[-5.0, 3.0], [30.0, 3.0], [4.0, -2.0], [4.0, 99.0], [-9.0, 99.0]]
)
def test_a_place_outside_reads_the_nearest_on_the_border(outside):
    """And never a padding of zeros: every feature of this map is above 100."""
    features = plane() + 200
    inside = [min(max(outside[0], 0), WIDTH - 1), min(max(outside[1], 0), HEIGHT - 1)]
    found = drag.sample(features, points(outside))
    torch.testing.assert_close(found, drag.sample(features, points(inside)))
    assert found.min() > 100


def test_gradient_of_sample_is_a_bilinear_weight():
    """Finite differences in the features, and the slope of a plane in the point."""
    features = plane().requires_grad_()
    where = points([3.4, 5.8]).requires_grad_()
    assert torch.autograd.gradcheck(drag.sample, (features, where))


def test_square_has_the_centre_and_reaches_the_radius():
    offsets = drag.square(2, 1, points([0, 0]))
    assert offsets.shape == (25, 2) and offsets.abs().max() == 2
    assert len(drag.square(1, 0.25, points([0, 0]))) == 81
    assert (drag.square(0.7, 0.5, points([0, 0])).abs().max()) == 0.5


def test_directions_are_unit_vectors_to_the_targets():
    """Drag Sec. 3.4: a 3-4-5 triangle; a handle on its target goes nowhere."""
    found = drag.directions(points([1, 1], [2, 5]), points([4, 5], [2, 5]))
    torch.testing.assert_close(found, points([0.6, 0.8], [0, 0]))


@pytest.mark.parametrize("loss", [drag.motion_supervision, drag.motion_supervision_official])
def test_no_loss_where_the_features_agree(loss):
    """Drag Eq. 3: features that do not change along d leave nothing to supervise."""
    x, y = grid()
    constant_along = torch.stack([4 * x - 3 * y, (4 * x - 3 * y).sin()])  # along (3, 4)
    handles, steps = points([5, 5]), points([0.6, 0.8])
    straight = torch.stack([y, y**2])  # along x
    assert loss(straight, handles, points([1, 0]), 2) == 0
    assert loss(constant_along[:1], handles, steps, 1).abs() < 1e-12
    assert loss(straight, handles, points([0, 0]), 2) == 0


def test_loss_of_a_plane_is_its_slope():
    """Drag Eq. 3: |slope · d| at each of the (2 r + 1)² places and channels, over 2 handles."""
    steps = points([0.6, 0.8], [-1, 0])
    found = drag.motion_supervision(plane(), points([4, 5], [7, 6]), steps, 1)
    first = 0.6 + 0.8 + abs(2 * 0.6 - 3 * 0.8)
    second = 1 + 0 + 2
    torch.testing.assert_close(found.item(), 9 * (first + second))
    wide = drag.motion_supervision(plane(), points([4, 5], [7, 6]), steps, 3)
    torch.testing.assert_close(wide.item(), 49 * (first + second))


def test_official_loss_is_per_channel():
    """Drag Eq. 3: the released weight; a map told C times over has the same loss."""
    handles, steps = points([4, 5]), points([0.6, 0.8])
    one = plane()[:1]
    found = drag.motion_supervision_official(one.repeat(7, 1, 1), handles, steps, 2)
    torch.testing.assert_close(found, drag.motion_supervision(one, handles, steps, 2))


def test_gradient_is_that_of_finite_differences_with_the_handle_held():
    """Drag Eq. 3: sg(·) stands still. Only what is at q + d is pulled, towards what was at q."""
    features = torch.randn(3, HEIGHT, WIDTH, dtype=torch.float64, generator=seeded(2))
    handles, steps = points([4.2, 5.1]), points([0.6, 0.8])
    held = features.clone()

    def loss(moved):
        q = handles[:, None] + drag.square(1, 1, handles)
        return (drag.sample(moved, q + steps[:, None]) - drag.sample(held, q)).abs().sum()

    moved = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(drag.motion_supervision(moved, handles, steps, 1), moved)
    along = torch.randn(features.shape, dtype=torch.float64, generator=seeded(3))
    h = 1e-7
    slope = (loss(features + h * along) - loss(features - h * along)) / (2 * h)
    torch.testing.assert_close((gradient * along).sum(), slope, rtol=1e-6, atol=1e-9)
    (without_stop,) = torch.autograd.grad(stopless(moved, handles, steps), moved)
    assert ((without_stop * along).sum() - slope).abs() > 0.1


def stopless(features, handles, steps):
    q = handles[:, None] + drag.square(1, 1, handles)
    return (drag.sample(features, q + steps[:, None]) - drag.sample(features, q)).abs().sum()


@pytest.mark.parametrize(
    ("handle", "corner"),
    [([12.4, 10.9], [12, 10]), ([-0.3, -0.2], [0, 0]), ([12.2, -0.4], [12, 0])],
)
def test_a_handle_off_the_map_is_tracked_to_its_border(handle, corner):
    """Drag Eq. 5: q stays on the map, of which the corner's cell is the last, and has its features;
    beside it a handle inside is found where it is.
    """
    templates = drag.sample(plane(), points(corner, [6.25, 3.5]))
    found = drag.track(plane(), templates, points(handle, [6, 4]), 1.0)
    torch.testing.assert_close(found, points(corner, [6.25, 3.5]))


def test_a_step_against_the_gradient_moves_a_blob_along():
    """Drag Eq. 3: descent on the features themselves carries the blob towards the target."""
    features = blob([4.0, 5.0]).requires_grad_()
    handles = points([4, 5])
    optimizer = torch.optim.Adam([features], lr=0.02)
    template = drag.sample(features.detach(), handles)
    for _ in range(60):
        loss = drag.motion_supervision(
            features, handles, drag.directions(handles, points([9, 5])), 1
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        handles = drag.track(features.detach(), template, handles, 2)
    assert handles[0, 0] > 6 and abs(handles[0, 1] - 5) <= 1


def test_mask_penalty_counts_what_is_protected():
    """Drag Eq. 3: ‖Δ ⊙ (1 - M)‖_1 over channels; what is editable costs nothing."""
    before = torch.zeros(1, 2, 3, 5, dtype=torch.float64)
    after = before.clone()
    after[..., 0, 0], after[..., 2, 4] = 0.5, -7.0
    mask = torch.zeros(3, 5, dtype=torch.float64)
    mask[2, 4] = 1
    assert drag.mask_penalty(after, before, mask) == 2 * 0.5
    assert drag.mask_penalty(after, before, torch.ones_like(mask)) == 0


def test_mask_penalty_pulls_the_moved_latent_only():
    """Drag Eq. 3: sg(ẑ^0) has no gradient."""
    before = torch.zeros(1, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    after = torch.ones(1, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    drag.mask_penalty(after, before, torch.zeros(3, 5)).backward()
    assert before.grad is None and torch.equal(after.grad, torch.ones_like(after))


@pytest.mark.parametrize("move", [(2.0, -1.0), (0.75, 1.5), (-2.75, 0.25), (0.0, 0.0)])
def test_a_translated_blob_is_tracked_exactly(move):
    """Drag Eq. 5: by quarters of a cell, in any direction, from where the handle was."""
    handle = points([6, 5])
    templates = drag.sample(blob([6.0, 5.0]), handle)
    x, y = grid(8 * HEIGHT, 8 * WIDTH)  # fine enough for a reading between cells to be exact
    centre = ((6 + move[0] + 0.5) * 8 - 0.5, (5 + move[1] + 0.5) * 8 - 0.5)
    near = torch.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * (1.7 * 8) ** 2))
    fine = torch.stack([near, near * (x - centre[0]) / 8])
    start = drag.rescale(handle, points([8, 8])[0])
    found = drag.track(fine, templates, start, 24, 2)
    torch.testing.assert_close(found, points(centre))


def test_tracking_follows_the_first_template_and_each_handle_its_own():
    """Drag Eq. 5: two handles change places."""
    a, b = blob([3.0, 3.0]), blob([5.0, 6.0]) * points([1, -2]).T[..., None]
    handles = points([3, 3], [5, 6])
    templates = drag.sample(a + b, handles)
    x_shifted = torch.roll(a + b, (1, 1), dims=(1, 2))
    found = drag.track(x_shifted, templates, handles, 2, 1)
    torch.testing.assert_close(found, handles + 1)


@pytest.mark.parametrize("corner", [[0.0, 0.0], [12.0, 0.0], [0.0, 10.0], [12.0, 10.0]])
def test_points_at_the_border_stay_on_the_map_and_have_their_features(corner):
    """Drag Eq. 3, Drag Eq. 5: patches reach beyond the map on two sides, and nothing is made up."""
    features = (plane() + 200).requires_grad_()
    handles, centre = points(corner), points([6, 5])
    loss = drag.motion_supervision(features, handles, drag.directions(handles, centre), 3)
    loss.backward()
    assert math.isfinite(loss.item()) and features.grad.isfinite().all()
    inner = drag.motion_supervision(plane(), centre, drag.directions(handles, centre), 3)
    assert 0 < loss <= inner + 1e-9  # places beyond the border agree, or are nearer by clamping
    templates = drag.sample(features.detach(), handles)
    torch.testing.assert_close(drag.track(features.detach(), templates, handles, 4), handles)
    far = drag.track(features.detach(), templates + 1000, handles, 4)
    assert (far >= 0).all() and (far <= points([WIDTH - 1, HEIGHT - 1])).all()


def test_a_handle_between_cells_is_not_tracked_off_the_map():
    """Drag Eq. 5: the wanted feature is beyond the last cell, so that is where the handle goes."""
    found = drag.track(plane()[:1], points([99])[:, :1], points([11.6, 4.3]), 3, 0.25)
    assert found[0, 0] == WIDTH - 1


def test_equal_features_leave_a_handle_where_it_is():
    """Drag Eq. 5: of equally near places the nearest to h^k is taken."""
    flat = torch.ones(2, HEIGHT, WIDTH, dtype=torch.float64)
    handles = points([4.3, 5.9], [0, 0])
    found = drag.track(flat, torch.ones(2, 2, dtype=torch.float64), handles, 3)
    torch.testing.assert_close(found, handles)


def test_a_handle_arrives_within_the_tolerance():
    """Drag Sec. 3.4: measured along the way, not per axis."""
    handles, targets = points([0, 0], [0, 0], [5, 5]), points([3, 4], [0.5, 0.5], [5, 5])
    assert drag.arrived(handles, targets, 1).tolist() == [False, True, True]
    assert drag.arrived(handles, targets, 5).tolist() == [False, True, True]
    assert drag.arrived(handles, targets, 5.01).tolist() == [True, True, True]


def seeded(seed):
    return torch.Generator().manual_seed(seed)
