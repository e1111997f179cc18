"""The subject: an image's edit does not depend on the others, and is made once."""

from dataclasses import replace

import torch

from latentgeo.eval.semantic.subject import Subject


def test_edits_do_not_depend_on_the_batch(subject, own_way):
    """Noise below t_boost belongs to the image; a scale of 0 is the plain process."""
    together = subject.edited(own_way, [2, 0, 1])
    for place, job in enumerate([2, 0, 1]):
        alone = subject.edited(own_way, [job])
        torch.testing.assert_close(together[place : place + 1], alone, rtol=1e-4, atol=1e-4)
    plain = subject.plain(own_way, [0, 1, 2]).images
    assert (together[[1, 2, 0]] - plain).abs().max() > 1e-3


def test_the_plain_process_has_its_edits_noise(subject, own_way):
    """Asyrp Eq. 9, Asyrp Sec. H: as printed it begins below t_edit at the latest, as released
    at t_boost.
    """
    subject.memo.clear()
    early = replace(own_way, attribute=replace(own_way.attribute, t_edit=600), t_boost=900)
    late = replace(own_way, t_boost=900)
    released = replace(late, overlap="released")
    assert [one.boosted_below for one in (early, late, released)] == [600, 400, 900]
    made = []
    for one in (early, late, released):
        made.append(subject.plain(one, [0, 1]).images)
        wanted = subject.edited(one, [0, 1], scale=0.0)
        torch.testing.assert_close(made[-1], wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made[0], made[2])  # both have noise at 500 and at 1
    assert (made[0] - made[1]).abs().max() > 1e-3
    subject.memo.clear()


def test_what_several_need_is_made_once(subject, shift, monkeypatch):
    made, edited = [], Subject.edited
    subject.memo.clear()

    def counted(self, one, jobs, *given, **named):
        made.append(list(jobs))
        return edited(self, one, jobs, *given, **named)

    monkeypatch.setattr(Subject, "edited", counted)
    first = subject.own(shift, [0, 1])
    again = subject.own(shift, [2, 1])
    assert made == [[0, 1], [2]]
    assert torch.equal(first.images[1], again.images[1])
