"""Tests of the household world: its rules, splits, pictures, boxes, labels and files."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageChops

from aotd.world.annotate import video_id
from aotd.world.build import write_world
from aotd.world.clip import CLASSES, render_clip
from aotd.world.draw import draw, paint
from aotd.world.figure import Figure, Point
from aotd.world.motion import PERSON, boxes, simulate
from aotd.world.plan import plan
from aotd.world.scene import FPS, HEIGHT, THINGS, USES, VERBS, WIDTH
from aotd.world.sheet import CAPTION, contact_sheet
from aotd.world.split import COLOURS, SPLITS, seed_of, split_of

Json = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a world of two dozen clips."""
    place = tmp_path_factory.mktemp("world")
    write_world(place, clips=24)
    return place


def _frames(path: Path) -> list[np.ndarray]:
    """Decode all frames of a video."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("seed", range(0, 400, 7))
def test_events_obey_hands_lids_and_seats(seed: int) -> None:
    """Nothing is taken with full hands, used without being held or opened when open; nobody sits twice."""
    episode = simulate(seed)
    room = episode.plan.room
    held, seat = room.held, room.seat
    opened = {name: name in room.opened for name in room.homes}
    for event in episode.plan.events:
        verb, name = event.move
        if verb in {"take", "tidy"}:
            assert held is None
            held = name if verb == "take" else None
        elif verb in {"put", "throw", "eat", "drink"} or event.move == ("watch", "book"):
            assert held == name
            held = None if verb in {"put", "throw", "eat"} else name
        if verb in {"open", "close", "tidy"}:
            assert held != name
            assert opened[name] is (verb != "open")
            opened[name] = verb == "open"
        if verb in {"sit", "lie"}:
            assert seat is None
            seat = event.move
        elif verb not in {"eat", "drink", "watch"}:
            seat = None
        assert episode.frames[event.end].held == held
    assert len(episode.plan.events) in {2, 3, 4}
    assert 124 <= len(episode.frames) <= 140


def test_verbs_are_balanced() -> None:
    """In 2,000 episodes each of the twelve verbs has between 5 and 11 % of the events, in either split."""
    for split in ("train", "test"):
        done = Counter(e.move.verb for n in range(2000) for e in plan(seed_of(split, n)).events)
        shares = {verb: done[verb] / done.total() for verb in VERBS}
        assert len(shares) == 12
        assert min(shares.values()) >= 0.05
        assert max(shares.values()) <= 0.11


def test_every_object_is_used() -> None:
    """In 2,000 episodes each class is seen in a hundred rooms, and each use in at least two events."""
    plans = [plan(seed) for seed in range(2000)]
    rooms = Counter(name for each in plans for name in each.room.homes)
    moves = Counter(event.move for each in plans for event in each.events)
    assert len(rooms) == len(THINGS) == 21
    assert min(rooms.values()) >= 100
    assert set(moves) == {(verb, name) for verb, names in USES.items() for name in names}
    assert min(moves.values()) >= 2


def test_splits_share_no_seed_and_no_combination() -> None:
    """The test has combinations of class, shape, colour and kind of room of its own; no part is new."""
    seen: dict[str, set[tuple[str, int, int, int]]] = {}
    for split in SPLITS:
        rooms = [plan(seed_of(split, number)).room for number in range(1500)]
        seen[split] = {
            (name, finish.shape, _colour(finish.colour), room.look.pattern)
            for room in rooms
            for name, finish in room.finish.items()
        }
        assert {split_of(seed_of(split, number)) for number in (0, 1499)} == {split}
    assert not seen["test"] & (seen["train"] | seen["validation"])
    assert len(seen["train"] | seen["validation"]) > 0.75 * 21 * 2 * 10 * 5
    assert len(seen["test"]) > 0.75 * 21 * 2 * 2 * 5
    for part in range(4):
        assert {each[part] for each in seen["test"]} == {each[part] for each in seen["train"]}
    with pytest.raises(ValueError, match="validation: has no episode 200000"):
        seed_of("validation", 200_000)


def _colour(colour: tuple[int, int, int]) -> int:
    """Give the number of the named colour that a shade is made of: the shade is it, lighter or darker."""

    def off(named: tuple[int, int, int]) -> float:
        parts = [a / b for a, b in zip(colour, named, strict=True) if a < 255]
        return max(parts) - min(parts)

    return min(range(len(COLOURS)), key=lambda number: off(COLOURS[number]))


@pytest.mark.parametrize("seed", range(40))
def test_objects_start_apart_and_large_enough(seed: int) -> None:
    """No two objects overlap at first; each lies in the frame and is 20 pixels long at 160 wide."""
    room, found = simulate(seed).plan.room, boxes(simulate(seed), 0)
    del found[PERSON]
    if room.held:
        del found[room.held]
    assert 7 <= len(found) <= 11
    for (_, a), (_, b) in combinations(found.items(), 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    for x1, y1, x2, y2 in found.values():
        assert 0 <= x1 < x2 < WIDTH
        assert 0 <= y1 < y2 < HEIGHT
        assert max(x2 - x1, y2 - y1) + 1 >= 20 * WIDTH / 160


@pytest.mark.parametrize("seed", range(0, 60, 5))
def test_drawn_pixels_lie_inside_their_boxes(seed: int) -> None:
    """What changes in the picture when an object or the person is left out lies inside its box."""
    episode = simulate(seed)
    away = Point(-900, -900)
    nobody = Figure(away, away, away, (away, away), (away, away), (away, away), 0)
    for index in range(0, len(episode.frames), 4):
        frame, found = episode.frames[index], boxes(episode, index)
        whole = paint(episode.plan.room, frame)
        without = {PERSON: frame._replace(figure=nobody)}
        for thing in frame.things:
            rest = tuple(other for other in frame.things if other != thing)
            without[thing.name] = frame._replace(things=rest)
        for name, rest_frame in without.items():
            changed = ImageChops.difference(whole, paint(episode.plan.room, rest_frame)).getbbox()
            x1, y1, x2, y2 = found[name]
            if changed is None:
                assert name != PERSON
                continue
            assert x1 <= changed[0]
            assert y1 <= changed[1]
            assert changed[2] <= x2 + 1
            assert changed[3] <= y2 + 1
            if name == PERSON:
                assert (x2 - x1) * (y2 - y1) <= 1.5 * (changed[2] - changed[0]) * (changed[3] - changed[1])


def test_boxes_are_tight_where_nothing_is_in_the_way() -> None:
    """The box of an object that the person does not hide is the box of its pixels, to one pixel."""
    seen = Counter[str]()
    for seed in range(30):
        episode = simulate(seed)
        frame, found = episode.frames[0], boxes(episode, 0)
        whole = paint(episode.plan.room, frame)
        for thing in frame.things:
            x1, y1, x2, y2 = found[thing.name]
            if x1 <= found[PERSON][2] and found[PERSON][0] <= x2:
                continue
            rest = frame._replace(things=tuple(other for other in frame.things if other != thing))
            changed = ImageChops.difference(whole, paint(episode.plan.room, rest)).getbbox()
            assert changed is not None
            assert np.abs(np.subtract(changed, (x1, y1, x2 + 1, y2 + 1))).max() <= 1
            seen[thing.name] += 1
    assert len(seen) == 21


def test_one_seed_gives_one_world(tmp_path: Path, folder: Path) -> None:
    """Two writes with the same arguments give the same annotation, byte for byte, and the same frames."""
    first, second = (write_world(tmp_path / name, clips=2) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    videos = sorted((tmp_path / "a/videos").iterdir())
    assert len(videos) == 2
    for video in videos:
        pairs = zip(_frames(video)[:3], _frames(tmp_path / "b/videos" / video.name)[:3], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    other = write_world(tmp_path / "c", clips=2, seed=1)
    assert other.read_bytes() != first.read_bytes()
    assert {row["video_id"] for row in json.loads(first.read_text())} <= {
        row["video_id"] for row in json.loads((folder / "star.json").read_text())
    }


def test_videos_hold_the_drawn_frames(folder: Path) -> None:
    """A written video decodes to the drawn frames, in number, size, rate and (almost) colour."""
    rates = json.loads((folder / "video_fps.json").read_text())
    assert len(rates) == 24
    for seed in (0, 3):
        name = f"{video_id(seed)}.mp4"
        frames, episode = _frames(folder / "videos" / name), simulate(seed)
        assert rates[name] == FPS
        with av.open(str(folder / "videos" / name)) as container:
            assert container.streams.video[0].average_rate == FPS
        assert len(frames) == len(episode.frames)
        for index in range(0, len(frames), 10):
            drawn = np.asarray(draw(episode, index)).astype(int)
            assert drawn.shape == frames[index].shape == (HEIGHT, WIDTH, 3)
            assert np.abs(drawn - frames[index]).mean() < 5 + episode.plan.room.look.grain / 2


def test_video_ids_are_five_characters_and_differ() -> None:
    """Ten thousand seeds in a row have ten thousand names of STAR's length."""
    names = {video_id(seed) for seed in range(10_000)}
    assert len(names) == 10_000
    assert {len(name) for name in names} == {5}


@pytest.mark.parametrize(("clips", "seed", "named"), [(0, 0, "clips"), (1001, 0, "clips"), (1, -1, "seed")])
def test_numbers_out_of_range_are_refused(tmp_path: Path, clips: int, seed: int, named: str) -> None:
    """A number that cannot be served is refused by name before anything is written."""
    with pytest.raises(ValueError, match=named):
        write_world(tmp_path / "none", clips=clips, seed=seed)
    assert not (tmp_path / "none").exists()


def test_contact_sheet_shows_each_event(folder: Path, tmp_path: Path) -> None:
    """A folder's sheet has a row for each of twelve videos; an episode's row has three frames per event."""
    with Image.open(contact_sheet(folder, tmp_path / "folder.png")) as sheet:
        assert sheet.height == 12 * (HEIGHT + CAPTION)
    episode = simulate(0)
    with Image.open(contact_sheet([episode], tmp_path / "episode.png")) as sheet:
        assert sheet.size == (len(episode.plan.events) * WIDTH * 3, HEIGHT + CAPTION)
        event = episode.plan.events[0]
        first = next(index for index in range(event.start, event.end) if index % 4 == 0)
        shown = np.asarray(sheet.crop((0, CAPTION, WIDTH, CAPTION + HEIGHT)))
        same = (shown == np.asarray(draw(episode, first))).all(2).mean()
        # The rest is boxes and names.
        assert 0.85 < same < 1
    with pytest.raises(FileNotFoundError, match=r"star\.json"):
        contact_sheet(tmp_path, tmp_path / "none.png")
    with pytest.raises(ValueError, match="holds no episode"):
        contact_sheet([], tmp_path / "none.png")


def test_clips_carry_the_labels_of_every_frame() -> None:
    """Arrays say what the episode says: pictures, boxes, what is held, done and touched."""
    episode, chosen = simulate(11), [0, 31, 40, 70]
    clip = render_clip(11, chosen)
    assert clip.frames.shape == (4, HEIGHT, WIDTH, 3)
    for row, index in enumerate(chosen):
        assert np.array_equal(clip.frames[row], np.asarray(draw(episode, index)))
        found = boxes(episode, index)
        assert {name for name, there in zip(CLASSES, clip.present[row], strict=True) if there} == set(found)
        for name, box in found.items():
            assert clip.boxes[row, CLASSES.index(name)].tolist() == list(box)
        held = episode.frames[index].held
        assert clip.held[row] == (CLASSES.index(held) if held else -1)
        assert held is None or clip.contact[row, CLASSES.index(held)]
        for thing in episode.frames[index].things:
            assert clip.opened[row, CLASSES.index(thing.name)] == np.float32(thing.open)
        under_way = [e.move for e in episode.plan.events if e.start <= index < e.end]
        if under_way:
            assert (VERBS[clip.verb[row]], CLASSES[clip.act_object[row]]) == under_way[0]
        else:
            assert clip.verb[row] == clip.act_object[row] == -1
    assert len(render_clip(11).frames) == len(episode.frames)
    with pytest.raises(IndexError, match="episode 11 has frames 0 to"):
        render_clip(11, [len(episode.frames)])


def test_every_event_is_seen_in_the_labels() -> None:
    """In fifty episodes each event labels its own frames, and most touch the event's object."""
    touched = Counter[bool]()
    for seed in range(50):
        clip = render_clip(seed, range(0, 40, 3))
        for row, index in enumerate(clip.indices):
            for event in clip.events:
                if event.start <= index < event.end:
                    assert VERBS[clip.verb[row]] == event.move.verb
                    number = CLASSES.index(event.move.object)
                    touched[bool(clip.contact[row, number])] += 1
    assert touched[True] > 2 * touched[False]
