"""Tests of the small video model: events decoded by hand, answers read off them, the path of the product."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.config import ToolsConfig
from aotd.tools.event_answers import Sight, answer_from
from aotd.tools.event_model import EventModel, EventShape, load_event_model, save_event_model
from aotd.tools.event_spans import SeenEvent, find_events
from aotd.tools.event_video import EventVideo
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.make import make_video_model
from aotd.tools.memory import needs
from aotd.tools.models import Frames, ToolError, VideoAnswer, VideoRequest
from aotd.tools.tracks import Tracker, shown
from aotd.traces.star_phrases import action_phrase
from aotd.traces.star_vocabulary import action_ids
from aotd.world.build import write_video
from aotd.world.clip import CLASSES
from aotd.world.motion import simulate
from aotd.world.split import seed_of
from aotd.zoo.detector import DetectorTask, save_detector
from aotd.zoo.events import ACTIONS
from tests.tiny_frames import Videos, open_videos

OPEN_BOX, CLOSE_BOX, TAKE_BOOK, PUT_BOOK, CLOSE_DOOR = (
    action_ids(verb, obj)[0]
    for verb, obj in (("open", "box"), ("close", "box"), ("take", "book"), ("put", "book"), ("close", "door"))
)
NAMES = ("person", "box", "book", "door", "bed")
KNOWN = (OPEN_BOX, CLOSE_BOX, TAKE_BOOK, PUT_BOOK, CLOSE_DOOR)
SURE, LEAST = 0.5, 0.1


pytestmark = pytest.mark.usefixtures("one_thread")


def columns(*rows: tuple[float, ...]) -> torch.Tensor:
    """Give probabilities of frames from what each action has there; the rest is that nothing is done."""
    acts = torch.tensor(rows)
    return torch.cat([1 - acts.sum(1, keepdim=True), acts], 1)


def test_events_are_stretches_of_likely_frames_around_a_sure_one() -> None:
    """With frames a second apart nothing blurs: spans, probabilities and order can be read off."""
    acts = columns((0.0, 0.4), (0.1, 0.9), (0.35, 0.2), (0.8, 0.1), (0.25, 0.0))
    found = find_events(acts, torch.arange(5.0), (OPEN_BOX, TAKE_BOOK))
    assert [event[:3] for event in found] == [(TAKE_BOOK, 0, 2), (OPEN_BOX, 2, 4)]
    assert [event.probability for event in found] == pytest.approx([0.9, 0.8])


def test_what_is_never_sure_is_no_event() -> None:
    """Many likely frames are not enough, and a lower threshold finds them."""
    acts = columns((0.45,), (0.45,))
    assert find_events(acts, torch.arange(2.0), (OPEN_BOX,)) == ()
    assert find_events(acts, torch.arange(2.0), (OPEN_BOX,), threshold=0.4)[0][:3] == (OPEN_BOX, 0, 2)


def test_an_action_happens_once_where_it_is_strongest() -> None:
    """Of two stretches far apart the one with more in it counts."""
    acts = columns((0.6,), (0.0,), (0.0,), (0.7,), (0.9,))
    ((_, start, end, sure),) = find_events(acts, torch.arange(5.0), (OPEN_BOX,))
    assert (start, end, round(sure, 3)) == (3, 5, 0.9)


def test_a_short_pause_does_not_divide_an_event() -> None:
    """Frames a tenth of a second apart are averaged with their neighbours: one dip stays inside."""
    acts = columns(*[(0.9,)] * 4, (0.0,), *[(0.9,)] * 4, *[(0.0,)] * 6)
    ((_, start, end, _),) = find_events(acts, torch.arange(15) / 10, (OPEN_BOX,))
    assert start == 0
    assert 9 <= end <= 11


def test_one_frame_can_be_an_event() -> None:
    """A clip of a single frame is read as it stands."""
    assert find_events(columns((0.7,)), torch.tensor([3.0]), (OPEN_BOX,))[0][:3] == (OPEN_BOX, 0, 1)


def sight() -> Sight:
    """Show six frames: the book is taken (0..1), the box perhaps opened (2), the door closed (3..4)."""
    acts = torch.zeros(6, len(KNOWN))
    for action, frames, sure in ((TAKE_BOOK, (0, 1), 0.9), (OPEN_BOX, (2,), 0.3), (CLOSE_DOOR, (3, 4), 0.8)):
        for frame in frames:
            acts[frame, KNOWN.index(action)] = sure
    seen = torch.full((6, len(NAMES)), 0.1)
    seen[:, [0, 2]] = 0.9
    seen[3:, 3] = 0.95
    events = (
        SeenEvent(TAKE_BOOK, 0, 2, 0.9),
        SeenEvent(OPEN_BOX, 2, 3, 0.3),
        SeenEvent(CLOSE_DOOR, 3, 5, 0.8),
    )
    return Sight(NAMES, KNOWN, seen, acts, events, tuple(range(6)), SURE, LEAST, 0.5)


CLIP = Frames(video="v", indices=tuple(range(6)))


def told(task: str, **asked: object) -> tuple[str, ...]:
    """Give the texts of one answer."""
    request = VideoRequest.model_validate({"clip": CLIP, "task": task, **asked})
    return answer_from(request, sight()).texts


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (action_phrase(TAKE_BOOK), action_phrase(CLOSE_DOOR))),
        ({"subject": "book"}, (action_phrase(TAKE_BOOK),)),
        ({"subject": "the box"}, ()),
        ({"subject": "box", "options": ("Opened.", "Closed.")}, ("Opened.",)),
        ({"options": ("Close the door.", "Take the book.")}, ("Take the book.", "Close the door.")),
        ({"options": ("Open the box.", "Close the box.")}, ("Open the box.",)),
        ({"options": ("Put down the book.", "Close the box.")}, ()),
    ],
)
def test_actions(asked: dict[str, object], expected: tuple[str, ...]) -> None:
    """Sure events are told in order; what is less sure answers only where an option names it alone."""
    assert told("actions", **asked) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"subject": "object closed by the person"}, ("door",)),
        ({"subject": "object opened by the person"}, ()),
        ({"subject": "object opened by the person", "options": ("The box.", "The door.")}, ("The box.",)),
        ({"subject": "object put down by the person", "options": ("The book.",)}, ()),
        ({"subject": "objects"}, ("book", "door")),
    ],
)
def test_objects(asked: dict[str, object], expected: tuple[str, ...]) -> None:
    """Objects are those of the verb's events; without a verb, those in view by their first frame."""
    assert told("objects", **asked) == expected


@pytest.mark.parametrize(
    ("question", "options", "expected"),
    [
        ("Which object was closed by the person?", ("The box.", "The door."), ("The door.",)),
        ("What did the person do with the book?", ("Put down.", "Took."), ("Took.",)),
        ("What happened after the person took the book?", ("Closed the door.", "Took the book."), 0),
        ("What happened before the person closed the door?", ("Took the book.", "Closed the box."), 0),
        ("What happened after the person took the book?", ("Put down the book.", "Opened the box."), 1),
        ("What will the person do next?", ("Take the book.", "Close the door."), 1),
        ("What did the person do after opening the window?", ("Took the book.", "Closed the box."), 0),
        ("Which other object is possible to be closed by the person?", ("The book.", "The bed."), 0),
        ("Which object was put down by the person?", ("The book.", "The box."), ()),
    ],
)
def test_choice(question: str, options: tuple[str, ...], expected: tuple[str, ...] | int) -> None:
    """The likeliest option wins where the question looks for it, and nothing unlikely does."""
    wanted = (options[expected],) if isinstance(expected, int) else expected
    assert told("choice", question=question, options=options) == wanted


def test_words() -> None:
    """Summary, captions, open questions and presence are told in plain words."""
    takes, closes = "the person takes the book", "the person closes the door"
    nothing = "the person does nothing that is known"
    assert told("summary") == (f"{takes}, then closes the door",)
    assert told("caption") == (takes, takes, nothing, closes, closes, nothing)
    assert told("open", question="Which object did the person close?") == ("door",)
    assert told("open", question="What did the person do before they closed the door?") == ("take the book",)
    assert told("is_this", subject="a book") == ("yes",)
    assert told("is_this", subject="bed") == ("no",)
    assert told("is_this", subject="spaceship") == ("no",)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Film two episodes of the household, and a third whose file is gone."""
    folder = tmp_path_factory.mktemp("videos")
    for name, number in (("one", 0), ("two", 1)):
        write_video(simulate(seed_of("validation", number)), folder / f"{name}.mp4")
    (folder / "gone.mp4").write_bytes((folder / "two.mp4").read_bytes() + b"\0" * 64)
    opened = open_videos(folder, "one", "two", "gone")
    (folder / "gone.mp4").unlink()
    return opened


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write an untrained detector, and an event model that says much of what it has not learnt."""
    home = tmp_path_factory.mktemp("models")
    save_detector(DetectorTask(0), home / "detector")
    torch.manual_seed(0)
    model = EventModel(EventShape(names=CLASSES, actions=ACTIONS, features=192, width=32, blocks=1, heads=2))
    with torch.no_grad():
        model.at_object.mul_(30)
        model.at_scene.weight.mul_(30)
    save_event_model(model, home / "events")
    return home / "events", home / "detector"


Maker = Callable[[], EventVideo]


@pytest.fixture
def make(folders: tuple[Path, Path], videos: Videos) -> Maker:
    """Give what makes the model as the product does."""
    weights, detector = map(str, folders)
    config = ToolsConfig.model_validate(
        {
            "detector": {"kind": "oracle"},
            "grounder": {"kind": "oracle"},
            "video_model": {
                "kind": "tracks",
                "weights": weights,
                "detector": detector,
                "threshold": 0.2,
                "option_threshold": 0.01,
                "frames_at_once": 5,
            },
            "device": "cpu",
        }
    )
    assert [need.role for need in needs(config, ())] == ["video model", "video model's detector"]

    def made() -> EventVideo:
        model = make_video_model(config, videos.store(), _never, _never)  # type: ignore[arg-type]
        assert isinstance(model, EventVideo)
        return model

    return made


def _never() -> None:
    """Stand where a server's client would come from: no such thing is asked for here."""


def clips(videos: Videos) -> list[Frames]:
    """List a whole clip, one frame, frames that repeat, frames with gaps, and crops."""
    one, two = videos.digests["one"], videos.digests["two"]
    crops = tuple((10 * n, 20, 120 + 10 * n, 300) for n in range(4))
    return [
        Frames(video=one, indices=tuple(range(0, 124, 12))),
        Frames(video=two, indices=(40,)),
        Frames(video=two, indices=(7, 7, 7, 8, 8, 9)),
        Frames(video=one, indices=(3, 50, 51, 90)),
        Frames(video=one, indices=(3, 50, 51, 90), crops=crops),
        Frames(video=two, indices=(8,), crops=((500, 500, 510, 510),)),
    ]


def requests(videos: Videos) -> list[VideoRequest]:
    """Ask every clip in every way."""
    options = tuple(action_phrase(action) for action in ACTIONS[::9])
    asked: list[dict[str, object]] = [
        {"task": "actions"},
        {"task": "actions", "options": options},
        {"task": "objects", "subject": "object taken by the person"},
        {"task": "choice", "question": "What will the person do next?", "options": options},
        {"task": "open", "question": "What happened?"},
        {"task": "summary"},
        {"task": "caption"},
        {"task": "is_this", "subject": "box"},
    ]
    return [VideoRequest.model_validate({"clip": clip, **each}) for clip in clips(videos) for each in asked]


def test_answers_do_not_depend_on_the_batch(make: Maker, videos: Videos) -> None:
    """All requests together, and each alone on a model that has seen nothing, are answered alike."""
    asked = requests(videos)
    together = make().answer(asked)
    assert not [answer for answer in together if isinstance(answer, ToolError)]
    model = make()
    alone = [model.answer([request])[0] for request in reversed(asked)]
    assert list(reversed(alone)) == list(together)
    # The untrained model does say something, and not the same of all clips.
    assert len({answer.texts for answer in together if isinstance(answer, VideoAnswer)}) > len(clips(videos))


def test_frames_may_repeat_and_lie_anyhow(make: Maker, videos: Videos) -> None:
    """A caption belongs to its frame, wherever it stands; events are those of the frames in order."""
    model = make()
    one = videos.digests["one"]

    def texts(task: str, *indices: int) -> tuple[str, ...]:
        request = VideoRequest.model_validate(
            {"clip": Frames(video=one, indices=indices), "task": task, "subject": None}
        )
        answer = model.answer([request])[0]
        assert isinstance(answer, VideoAnswer)
        return answer.texts

    a, b, c = texts("caption", 10, 30, 60)
    assert texts("caption", 60, 10, 30, 10) == (c, a, b, a)
    assert texts("actions", 60, 10, 30, 10) == texts("actions", 10, 30, 60)


def test_of_a_cropped_frame_only_the_crop_is_seen(folders: tuple[Path, Path], videos: Videos) -> None:
    """A cropped frame is looked at as if all else were black; a crop around all changes nothing."""
    tracker = Tracker(find_checkpoint(str(folders[1])), videos.store(), CLASSES, device="cpu", max_bytes=1)
    one = videos.digests["one"]
    crop = (30, 40, 150, 160)
    whole, cropped, around = tracker.follow(
        [
            Frames(video=one, indices=(20,)),
            Frames(video=one, indices=(20,), crops=(crop,)),
            Frames(video=one, indices=(20,), crops=((-5, -5, 900, 900),)),
        ]
    )
    frame = videos.store().read(one, [20])[0]
    dark = frame.copy()
    dark[:, :30], dark[:, 150:], dark[:40], dark[160:] = 0, 0, 0, 0
    assert np.array_equal(shown(frame, crop), dark)
    assert not isinstance(cropped, ToolError)
    assert not isinstance(whole, ToolError)
    assert not isinstance(around, ToolError)
    torch.testing.assert_close(cropped, tracker.eye.see([dark]))
    torch.testing.assert_close(around, whole)
    assert not torch.allclose(cropped.features, whole.features, atol=1e-2)


def test_a_video_that_is_gone_spoils_its_own_request(make: Maker, videos: Videos) -> None:
    """The others of the batch are answered; so is one that lacks what its task needs refused alone."""
    one = videos.digests["one"]
    good, gone = Frames(video=one, indices=(1, 2)), Frames(video=videos.digests["gone"], indices=(1,))
    answers = make().answer(
        [
            VideoRequest(clip=good, task="summary"),
            VideoRequest(clip=gone, task="summary"),
            VideoRequest(clip=good, task="choice", question="What?"),
            VideoRequest(clip=good, task="objects"),
        ]
    )
    assert isinstance(answers[0], VideoAnswer)
    assert [answer.kind for answer in answers[1:] if isinstance(answer, ToolError)] == [
        "unreadable-video",
        "bad-request",
        "bad-request",
    ]


def test_the_identity_names_both_models_and_every_setting(make: Maker, folders: tuple[Path, Path]) -> None:
    """Two runs share answers only if weights, detector and thresholds are the same."""
    identity = make().identity
    assert identity.id == "tracks/events"
    assert identity.revision == find_checkpoint(str(folders[0])).revision
    assert identity.settings == {
        "detector": "detector",
        "detector_revision": find_checkpoint(str(folders[1])).revision,
        "threshold": 0.2,
        "option_threshold": 0.01,
        "presence": 0.25,
    }


def test_a_folder_that_is_no_event_model_is_named(
    folders: tuple[Path, Path], videos: Videos, tmp_path: Path
) -> None:
    """The wrong folder, unknown actions, missing weights, another detector: one line, with the folder."""
    events, detector = folders

    def refused(weights: Path, seen_by: Path) -> str:
        with pytest.raises(UnusableCheckpoint) as raised:
            EventVideo(
                find_checkpoint(str(weights)), find_checkpoint(str(seen_by)), videos.store(), device="cpu"
            ).answer([VideoRequest(clip=clips(videos)[1], task="summary")])
        message = str(raised.value)
        assert "\n" not in message
        return message

    assert f"({detector}) is no event model" in refused(detector, detector)
    assert f"({events})" in refused(events, events)
    cut = shutil.copytree(events, tmp_path / "cut")
    (cut / "model.safetensors").unlink()
    assert "model.safetensors) does not load" in refused(cut, detector)
    odd = shutil.copytree(events, tmp_path / "odd")
    shape = json.loads((odd / "config.json").read_text(encoding="utf-8"))
    (odd / "config.json").write_text(json.dumps({**shape, "actions": ["a999"]}), encoding="utf-8")
    assert "STAR has no a999" in refused(odd, detector)
    (odd / "config.json").write_text(json.dumps({**shape, "features": 64}), encoding="utf-8")
    save_event_model(EventModel(EventShape(names=CLASSES, actions=ACTIONS, features=64)), odd)
    assert "takes features 64 wide, and detector detector gives 192" in refused(odd, detector)


def test_a_saved_model_is_the_same_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Loading gives the weights that were saved, in half precision, and saving them again the same bytes."""
    model = load_event_model(find_checkpoint(str(folders[0])), "cpu")
    save_event_model(model, tmp_path / "again")
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (folders[0] / file).read_bytes()
