"""Tests of the household world: its rules, its pictures and boxes, its STAR records and files."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageChops

from aotd.benchmarks.executor import execute
from aotd.benchmarks.star import load_star
from aotd.traces.star_phrases import parse_phrase
from aotd.traces.star_vocabulary import ACTIONS_BY_ID, FEASIBLE, OBJECTS
from aotd.world.annotate import ask, video_id
from aotd.world.build import write_world
from aotd.world.draw import draw, paint
from aotd.world.motion import PERSON, Figure, Point, boxes, simulate
from aotd.world.scene import FPS, HEIGHT, TABLE, WIDTH
from aotd.world.sheet import contact_sheet

Json = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> list[Json]:
    """Give the questions of sixty episodes."""
    return ask([simulate(seed) for seed in range(60)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a world of two dozen clips."""
    place = tmp_path_factory.mktemp("world")
    write_world(place, clips=24)
    return place


def _template(record: Json) -> str:
    """Give a record's template, such as `Sequence_T3`."""
    return str(record["question_id"]).rpartition("_")[0]


def _frames(path: Path) -> list[np.ndarray]:
    """Decode all frames of a video."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def _events(record: Json, *, until: float = float("inf")) -> list[str]:
    """List the actions of a record by first appearance, of frames that begin before a time."""
    found: list[str] = []
    for key in sorted(record["situations"]):
        if (int(key) - 1) / FPS < until - 1e-9:
            found += [name for name in record["situations"][key]["actions"] if name not in found]
    return found


@pytest.mark.parametrize("seed", range(0, 200, 7))
def test_events_obey_hands_and_lids(seed: int) -> None:
    """Nothing is taken with full hands, used without being held, opened when open or closed when shut."""
    episode = simulate(seed)
    held, lids = None, {name: name in episode.plan.room.opened for name in episode.plan.room.homes}
    for event in episode.plan.events:
        verb, name = event.move
        if verb == "take":
            assert held is None
            held = name
        elif verb in {"put", "throw", "eat", "drink"}:
            assert held == name
            held = name if verb == "drink" else None
        elif verb in {"open", "close"}:
            assert held != name
            assert lids[name] is (verb == "close")
            lids[name] = verb == "open"
        assert episode.frames[event.end].held == held
        assert event.move in event.legal
    assert len(episode.plan.events) in {3, 4}
    assert 80 <= len(episode.frames) <= 135


@pytest.mark.parametrize("seed", range(40))
def test_objects_start_apart_and_large_enough(seed: int) -> None:
    """At the start no two objects' boxes overlap, each lies in the frame and is at least 20 pixels long."""
    found = boxes(simulate(seed), 0)
    del found[PERSON]
    assert 6 <= len(found) <= 7
    for (_, a), (_, b) in combinations(found.items(), 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    for x1, y1, x2, y2 in found.values():
        assert 0 <= x1 < x2 < WIDTH
        assert 0 <= y1 < y2 < HEIGHT
        assert max(x2 - x1, y2 - y1) + 1 >= 20


@pytest.mark.parametrize("seed", range(0, 60, 5))
def test_drawn_pixels_lie_inside_their_boxes(seed: int) -> None:
    """What changes in the picture when an object or the person is left out lies inside its box."""
    episode = simulate(seed)
    away = Point(-900, -900)
    nobody = Figure(away, away, away, (away, away), (away, away), (away, away))
    for index in range(0, len(episode.frames), 4):
        frame, found, whole = episode.frames[index], boxes(episode, index), draw(episode, index)
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
        frame, found, whole = episode.frames[0], boxes(episode, 0), draw(episode, 0)
        for thing in frame.things:
            x1, y1, x2, y2 = found[thing.name]
            if x1 <= found[PERSON][2] and found[PERSON][0] <= x2:
                continue
            rest = frame._replace(things=tuple(other for other in frame.things if other != thing))
            changed = ImageChops.difference(whole, paint(episode.plan.room, rest)).getbbox()
            assert changed is not None
            assert np.abs(np.subtract(changed, (x1, y1, x2 + 1, y2 + 1))).max() <= 1
            seen[thing.name] += 1
    assert len(seen) == 9


def test_every_question_is_solved_by_its_own_program(folder: Path) -> None:
    """The written file loads as STAR's does, and the symbolic executor answers all of it."""
    items = load_star(folder / "star.json")
    assert len(items) >= 200
    assert [item.question.id for item in items if not execute(item).solved] == []


def test_executor_depends_on_the_graph(folder: Path, tmp_path: Path) -> None:
    """With the two events of a graph exchanged, no "what happened after" question is solved."""
    rows = [row for row in json.loads((folder / "star.json").read_text()) if _template(row) == "Sequence_T3"]
    for row in rows:
        first, *_, last = _events(row)
        swap = {first: last, last: first}
        for facts in row["situations"].values():
            facts["actions"] = [swap.get(name, name) for name in facts["actions"]]
    path = tmp_path / "swapped.json"
    path.write_text(json.dumps(rows))
    (tmp_path / "video_fps.json").write_text((folder / "video_fps.json").read_text())
    assert not any(execute(item).solved for item in load_star(path))


def test_options_are_four_legal_uses_of_objects_in_the_room(records: list[Json]) -> None:
    """Each record has four different options, and each makes an action of STAR with an object of the room."""
    rooms = {video_id(seed): simulate(seed).plan.room.homes for seed in range(60)}
    for record in records:
        texts = [choice["choice"] for choice in record["choices"]]
        assert len(set(texts)) == 4
        assert texts.count(record["answer"]) == 1
        for choice in record["choices"]:
            literals = [word for step in choice["choice_program"] for word in step["value_input"]]
            objects = [word for word in literals if word in OBJECTS.values()]
            assert set(objects) <= set(rooms[record["video_id"]])
            if len(literals) == 2:
                assert literals[1] in FEASIBLE[literals[0]]
            phrase = parse_phrase(choice["choice"])
            assert {phrase.verb, phrase.obj} - {None} == set(literals)


def test_answer_is_what_happened(records: list[Json]) -> None:
    """The right option names the verb and the object of an action in the record's own graph."""
    for record in records:
        said = parse_phrase(record["answer"])
        done = {(ACTIONS_BY_ID[name].verb, ACTIONS_BY_ID[name].obj) for name in _events(record)}
        assert any(said.verb in {None, verb} and said.obj in {None, obj} for verb, obj in done)


def test_clips_have_star_bounds(records: list[Json]) -> None:
    """Clips last three seconds or more and show one event, a span, or the start of what comes next."""
    for record in records:
        kind = _template(record).partition("_")[0]
        assert record["end"] - record["start"] >= 3 - 1e-6
        assert (
            0
            <= record["start"]
            < record["end"]
            <= len(simulate(int(record["video_id"][1:], 36)).frames) / FPS
        )
        inside, whole = _events(record, until=record["end"]), _events(record)
        late = [key for key in record["situations"] if (int(key) - 1) / FPS >= record["end"] - 1e-9]
        assert bool(late) is (kind in {"Prediction", "Feasibility"})
        assert len(inside) <= {"Interaction": 1, "Sequence": 4, "Prediction": 2, "Feasibility": 1}[kind]
        assert len(whole) >= (1 if kind == "Interaction" else 2)
        assert len(record["situations"]) >= 4


def test_guessing_one_text_or_one_position_gains_little() -> None:
    """In 400 questions no answer text exceeds 45 % of its template, and no position 35 %."""
    rows = ask([simulate(seed) for seed in range(1000, 1042)])
    assert len(rows) >= 400
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    positions = Counter[int]()
    for row in rows:
        answers[_template(row)][row["answer"]] += 1
        positions[[choice["choice"] for choice in row["choices"]].index(row["answer"])] += 1
    for counts in answers.values():
        if counts.total() >= 10:
            assert counts.most_common(1)[0][1] / counts.total() <= 0.45
    assert positions.most_common(1)[0][1] / positions.total() <= 0.35


def test_options_seen_without_the_video_do_not_give_the_answer_away() -> None:
    """Picking the option that was right most often per offer in other episodes is right in at most 32 %."""
    rows = ask([simulate(seed) for seed in range(160)])
    half = len(rows) // 2
    offered, right = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in rows[:half]:
        offered.update((_template(row), choice["choice"]) for choice in row["choices"])
        right[_template(row), row["answer"]] += 1
    hits = 0
    for row in rows[half:]:
        keys = [(_template(row), choice["choice"]) for choice in row["choices"]]
        hits += max(keys, key=lambda key: Fraction(right[key], max(1, offered[key])))[1] == row["answer"]
    assert hits / (len(rows) - half) <= 0.32


def test_all_templates_are_asked(records: list[Json]) -> None:
    """Sixty episodes give each of the sixteen forms at least five questions, each with an id of its own."""
    counts = Counter(_template(record) for record in records)
    assert len(counts) == 16
    assert min(counts.values()) >= 5
    ids = [record["question_id"] for record in records]
    assert len(set(ids)) == len(ids)


def test_questions_are_worded_as_published(records: list[Json], data: Path) -> None:
    """Each question, with its objects blanked, is made of parts of its template's published questions."""

    def blank(text: str) -> str:
        return re.sub(r"(?<=the )[a-z/]+(?=[ ?])", "O", text.replace("the person", "person"))

    published: dict[str, set[str]] = defaultdict(set)
    with (data / "star/STAR_val_qa.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            published[row["question_type"]].add(blank(row["question"]))
    for record in records:
        # A world this small pairs few verbs with few others, and not every pair was published.
        template, text = _template(record), blank(record["question"])
        heads = {re.split(r" (?:after|before|while) ", form)[0] for form in published[template]}
        tails = {form.removeprefix(head) for form in published[template] for head in heads if head in form}
        assert any(text.startswith(head) and text.removeprefix(head) in tails for head in heads), text


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
            assert np.abs(drawn - frames[index]).mean() < 4


def test_keyframes_are_annotated_as_in_star(records: list[Json]) -> None:
    """Keyframe ids count frames from 1, boxes are floats with a label each, relations start at the person."""
    for record in records[:40]:
        for key, facts in record["situations"].items():
            assert re.fullmatch(r"\d{6}", key)
            assert record["start"] <= (int(key) - 1) / FPS + 1e-9
            assert len(facts["bbox"]) == len(facts["bbox_labels"]) == len(set(facts["bbox_labels"]))
            assert all(isinstance(edge, float) for box in facts["bbox"] for edge in box)
            assert {OBJECTS[label] for label in facts["bbox_labels"]} >= {PERSON, TABLE}
            assert len(facts["rel_pairs"]) == len(facts["rel_labels"])
            assert all(pair[0] == "o000" and pair[1] in facts["bbox_labels"] for pair in facts["rel_pairs"])


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
    """A folder's sheet has a row for each of twelve videos, an episode's one row with a picture per event."""
    with Image.open(contact_sheet(folder, tmp_path / "folder.png")) as sheet:
        assert sheet.height == 12 * (HEIGHT * 2 + 16)
    episode = simulate(0)
    with Image.open(contact_sheet(episode, tmp_path / "episode.png")) as sheet:
        assert sheet.size == (len(episode.plan.events) * WIDTH * 2, HEIGHT * 2 + 16)
        assert len(sheet.getcolors(1 << 20) or []) > 20
    with pytest.raises(FileNotFoundError, match=r"star\.json"):
        contact_sheet(tmp_path, tmp_path / "none.png")
