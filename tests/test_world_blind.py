"""Tests that questions of the household cannot be answered without looking: two baselines that see no video.

Both are conditional logits over the four options, trained on questions of the training split and scored on
the test split. One reads the question and its options alone; the other also knows which objects are in the
room.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from aotd.agent.grammar import read_question
from aotd.traces.star_phrases import parse_phrase
from aotd.traces.star_vocabulary import OBJECTS
from aotd.world.annotate import ask
from aotd.world.motion import simulate
from aotd.world.split import seed_of

Json = dict[str, Any]

TRAIN_EPISODES, TEST_EPISODES = 700, 200
"""Episodes that are asked about; of each split the first."""


@lru_cache(maxsize=1)
def questions() -> tuple[list[Json], list[Json]]:
    """Give the questions of both splits, about ten for each episode."""
    train = ask(simulate(seed_of("train", number)) for number in range(TRAIN_EPISODES))
    test = ask(simulate(seed_of("test", number)) for number in range(TEST_EPISODES))
    return train, test


def text_facts(record: Json, option: str) -> Iterator[tuple[str, ...]]:
    """Give what the question's and an option's words say together: template, verbs and objects."""
    reading = read_question(record["question"])
    assert reading is not None
    offered = parse_phrase(option)
    template, event, asked = reading.template, reading.event, reading.asked
    mine = [f"verb {offered.verb}", f"object {offered.obj}", f"both {offered.verb} {offered.obj}"]
    said = ["", f"after {event.verb}", f"near {event.obj}", f"event {event.verb} {event.obj}"]
    said += [f"asked {asked.verb}", f"about {asked.obj}", *(f"state {state}" for state in reading.states)]
    for word, fact in product(mine, said):
        yield template, word, fact
        yield "any", word, fact


def room_facts(record: Json, option: str) -> Iterator[tuple[str, ...]]:
    """Give the text's facts, and an option's words with every object that is seen in the clip."""
    yield from text_facts(record, option)
    offered = parse_phrase(option)
    form = record["question_id"].partition("_")[0]
    seen = {OBJECTS[label] for facts in record["situations"].values() for label in facts["bbox_labels"]}
    for name in seen:
        yield "room", f"verb {offered.verb}", name
        yield "room", f"object {offered.obj}", name
        yield form, f"object {offered.obj}", name
        yield form, f"verb {offered.verb}", name
    yield "there", record["question_id"].rpartition("_")[0], str(offered.obj in seen)


Facts = Callable[[Json, str], Iterator[tuple[str, ...]]]


def tabulate(rows: list[Json], facts: Facts, numbers: dict[tuple[str, ...], int]) -> np.ndarray:
    """Give the facts' numbers as an array (questions, options, facts), 0 where there is none."""
    found = [[[numbers[f] for f in facts(row, c["choice"])] for c in row["choices"]] for row in rows]
    width = max(len(option) for row in found for option in row)
    table = np.zeros((len(rows), 4, width), dtype=np.int64)
    for place, row in enumerate(found):
        for number, option in enumerate(row):
            table[place, number, : len(option)] = option
    return table


def answers(rows: list[Json]) -> np.ndarray:
    """Give the places of the right options."""
    return np.array([[c["choice"] for c in row["choices"]].index(row["answer"]) for row in rows])


def fit(table: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
    """Fit a conditional logit by 150 steps of Adam on all questions, weights shrunk towards nothing."""
    weights, slope, square = np.zeros(size), np.zeros(size), np.zeros(size)
    aim = np.eye(4)[right]
    for step in range(1, 151):
        score = weights[table].sum(2)
        share = np.exp(score - score.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        error = np.broadcast_to((share - aim)[:, :, None], table.shape)
        grad = np.bincount(table.ravel(), error.ravel(), size) / len(table) + 1e-3 * weights
        grad[0] = 0
        slope, square = 0.9 * slope + 0.1 * grad, 0.99 * square + 0.01 * grad**2
        weights -= 0.03 * (slope / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return weights


def accuracy(facts: Facts) -> float:
    """Train on the training split and give the share of the test split that is answered right."""
    train, test = questions()
    numbers: dict[tuple[str, ...], int] = defaultdict(lambda: len(numbers) + 1)
    known, asked = tabulate(train, facts, numbers), tabulate(test, facts, numbers)
    weights = fit(known, answers(train), len(numbers) + 1)
    assert (weights[known].sum(2).argmax(1) == answers(train)).mean() > 0.4, "nothing was learnt at all"
    return float((weights[asked].sum(2).argmax(1) == answers(test)).mean())


def test_enough_is_asked() -> None:
    """Both splits give many questions of every form, fewest of those that need the rarest conditions."""
    train, test = questions()
    assert len(train) >= 5000
    assert len(test) >= 1500
    for rows, fewest in ((train, 30), (test, 5)):
        counts = Counter(row["question_id"].rpartition("_")[0] for row in rows)
        assert len(counts) == 20
        assert min(counts.values()) >= fewest


def test_text_alone_does_not_tell() -> None:
    """Who reads questions and options only is right in at most 30 % of the test split; chance is 25 %."""
    assert accuracy(text_facts) <= 0.30


def test_knowing_what_is_in_the_room_does_not_tell() -> None:
    """Who also knows all objects that are seen is right in at most 35 %.

    One form of twenty, Feasibility_T1, asks for no more than which object is there.
    """
    assert accuracy(room_facts) <= 0.35


def test_the_baselines_find_a_bias_that_is_there() -> None:
    """When right options are those of one verb wherever it is offered, the baseline that reads finds out."""
    train, test = questions()
    for rows in (train, test):
        for row in rows:
            takes = [c["choice"] for c in row["choices"] if parse_phrase(c["choice"]).verb == "take"]
            row["planted"] = takes[0] if len(takes) == 1 else ""
    biased = [[{**row, "answer": row["planted"]} for row in rows if row["planted"]] for rows in (train, test)]
    numbers: dict[tuple[str, ...], int] = defaultdict(lambda: len(numbers) + 1)
    known, asked = (tabulate(rows, text_facts, numbers) for rows in biased)
    weights = fit(known, answers(biased[0]), len(numbers) + 1)
    assert (weights[asked].sum(2).argmax(1) == answers(biased[1])).mean() > 0.9


def test_no_position_is_favoured() -> None:
    """Each of the four positions holds between 22 and 28 % of the right options."""
    places = Counter(answers(questions()[1]).tolist())
    assert all(0.22 <= count / places.total() <= 0.28 for count in places.values())
