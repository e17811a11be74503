"""Tests of the event model's training: the tracks it reads, that it learns a handful, and that it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from aotd.tools.checkpoints import Checkpoint, find_checkpoint
from aotd.tools.event_model import EventShape
from aotd.tools.tracks import Eye
from aotd.traces.star_vocabulary import ACTIONS_BY_ID
from aotd.world.clip import CLASSES, Clip, render_clip
from aotd.world.scene import VERBS, WIDTH
from aotd.world.split import seed_of
from aotd.zoo import track_data
from aotd.zoo.detector import DetectorTask, save_detector
from aotd.zoo.events import ACTIONS, EventTask, event_scores
from aotd.zoo.fit import Batch, Course, fit
from aotd.zoo.track_data import Shelf, draw_clip, keep_tracks, labels

pytestmark = pytest.mark.usefixtures("one_thread")

_FEATURES = 8
_KEPT = 50
"""Clips of a file."""


def ideal(clip: Clip) -> Batch:
    """Give a clip as a detector without fault would see it, with features that tell nothing."""
    frames = len(clip.indices)
    low, high = torch.from_numpy(clip.boxes[..., :2]), torch.from_numpy(clip.boxes[..., 2:]) + 1
    seen = torch.from_numpy(clip.present)
    return {
        "boxes": torch.cat([(low + high) / 2, high - low], -1) / WIDTH,
        "scores": torch.where(seen, 3.0, -6.0),
        "features": torch.zeros(frames, len(CLASSES), _FEATURES),
        "scenes": torch.zeros(frames, _FEATURES),
        **labels(clip, ACTIONS),
    }


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Keep the tracks of four episodes, over and over."""
    clips = [ideal(render_clip(seed_of("train", number), range(0, 124, 4)[:31])) for number in range(4)]
    clips = [{name: torch.cat([value, value[-1:]]) for name, value in clip.items()} for clip in clips]
    file = tmp_path_factory.mktemp("tracks") / "train-0000.safetensors"
    save_file({name: torch.stack([clips[n % 4][name] for n in range(_KEPT)]) for name in clips[0]}, file)
    return Shelf([file])


def task(shelf: Shelf) -> EventTask:
    """Make a small model to train."""
    shape = EventShape(names=CLASSES, actions=ACTIONS, features=_FEATURES, width=32, blocks=1, heads=2)
    return EventTask(shape, shelf, _Few(shelf), seed=0)


class _Few(Shelf):
    """The four clips, each once."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __len__(self) -> int:
        return 4

    def clip(self, number: int) -> Batch:
        """Read a clip."""
        return self._shelf.clip(number)


def test_a_handful_of_clips_is_learnt(shelf: Shelf, tmp_path: Path) -> None:
    """Boxes alone, without features, tell four episodes apart within a hundred and some steps."""
    made = task(shelf)
    with torch.inference_mode():
        before = made.scores()
    fit(
        made,
        Course(steps=100, peak=8e-3, warmup=10, every=100),
        tmp_path,
        seed=0,
        device="cpu",
        workers=0,
        tell=_quiet,
    )
    with torch.inference_mode():
        after = made.scores()
    assert before["action"] < 0.2
    assert after["action"] > 0.8
    assert after["named"] > 0.8


def test_training_goes_on_as_if_never_stopped(shelf: Shelf, tmp_path: Path) -> None:
    """A run that is cut after four of eight steps ends with the weights of one that was not."""
    course = Course(steps=8, peak=1e-3, every=4)

    def cut(_: str) -> None:
        raise KeyboardInterrupt

    whole, first, second = task(shelf), task(shelf), task(shelf)
    fit(whole, course, tmp_path / "whole", seed=0, device="cpu", workers=0, tell=_quiet)
    with pytest.raises(KeyboardInterrupt):
        fit(first, course, tmp_path / "cut", seed=0, device="cpu", workers=0, tell=cut)
    fit(second, course, tmp_path / "cut", seed=0, device="cpu", workers=0, tell=_quiet)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, rtol=0, atol=1e-6)


def test_scores_of_what_is_known() -> None:
    """Two clips worked by hand: one event right in time, one too early, one made up."""
    acts = torch.tensor([[0, 5, 5, 5, 5, 0, 0, 0], [0, 0, 0, 0, 9, 9, 9, 9]])
    said = torch.tensor([[0, 0, 5, 5, 5, 0, 0, 0], [9, 9, 9, 9, 9, 0, 0, 3]])
    logits = 30.0 * torch.nn.functional.one_hot(said, 1 + len(ACTIONS)).float()
    seconds = torch.arange(8.0).expand(2, -1)
    scores = event_scores(logits, acts, seconds)
    assert scores["frames"] == pytest.approx((7 + 1) / 16)
    assert scores["action"] == pytest.approx((3 + 1) / 8)
    # Found are 5 with 3 of 4 frames, 9 with 1 of 8, and 3; true are 5 and 9.
    assert scores["events"] == pytest.approx(2 * 1 / 5)
    assert scores["named"] == pytest.approx(2 * 2 / 5)


def test_labels_say_what_the_world_did() -> None:
    """The action of a frame has the verb and the object of the event under way."""
    clip = render_clip(seed_of("train", 3), range(0, 120, 6))
    told = labels(clip, ACTIONS)
    for place, act in enumerate(told["act"].tolist()):
        verb, thing = int(clip.verb[place]), int(clip.act_object[place])
        if verb < 0:
            assert act == 0
        else:
            action = ACTIONS_BY_ID[ACTIONS[act - 1]]
            assert (action.verb, action.obj) == (VERBS[verb], CLASSES[thing])
    assert told["seconds"].tolist() == pytest.approx([frame / 10 for frame in range(0, 120, 6)])


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Write an untrained detector."""
    folder = tmp_path_factory.mktemp("detector")
    save_detector(DetectorTask(0), folder)
    return find_checkpoint(str(folder))


def test_tracks_are_kept_and_not_made_again(
    detector: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file holds what the detector sees of the clips that are drawn; the same call reads it again."""
    monkeypatch.setattr(track_data, "_EACH", 2)
    lines: list[str] = []

    def keep(count: int) -> Shelf:
        return keep_tracks(
            detector, tmp_path, "validation", count, ACTIONS, device="cpu", workers=0, tell=lines.append
        )

    assert len(keep(2)) == 2
    shelf = keep(4)
    assert lines == ["tracks validation 2 of 2", "tracks validation 4 of 4"]
    assert shelf.features == 192
    clip, pictures = draw_clip("validation", 3)
    kept = shelf.clip(3)
    seen = Eye(detector, CLASSES, device="cpu", dtype="bfloat16").see(pictures[:16])
    assert torch.equal(kept["act"], labels(clip, ACTIONS)["act"])
    torch.testing.assert_close(kept["boxes"][:16].float(), seen.boxes, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(kept["scenes"][:16].float(), seen.scenes, atol=1e-2, rtol=1e-2)


def _quiet(_: str) -> None:
    """Tell nobody."""
