"""Answers to the household's questions without looking: what a model of pixels has to beat.

A conditional logit over the options, trained on questions of the training split. One kind of fact is what
question and options say; the other adds which objects are in the room. Draws no picture and opens no video.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aotd.agent.grammar import read_question
from aotd.traces.star_phrases import parse_phrase
from aotd.traces.star_vocabulary import OBJECTS
from aotd.world.annotate import ask
from aotd.world.motion import simulate
from aotd.world.split import Split, seed_of

__all__ = ["BLIND", "Facts", "Json", "blind_answers", "questions"]

Json = dict[str, Any]
Facts = Callable[[Json, str], Iterator[tuple[str, ...]]]
"""What is known of a record's option."""

_STEPS: Final = 150
_RATE: Final = 0.03
_SHRINK: Final = 1e-3


def questions(split: Split, episodes: int) -> list[Json]:
    """Ask the first episodes of a split, about nine questions each, as STAR writes them."""
    return ask(simulate(seed_of(split, number)) for number in range(episodes))


def text_facts(record: Json, option: str) -> Iterator[tuple[str, ...]]:
    """Give what the question's and an option's words say together: template, verbs and objects."""
    reading = read_question(record["question"])
    if reading is None:
        raise ValueError(f"{record['question_id']}: {record['question']!r} is no question of the household")
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


BLIND: Final[dict[str, Facts]] = {"text alone": text_facts, "text and objects": room_facts}
"""The two kinds of blindness."""


def blind_answers(train: Sequence[Json], asked: Sequence[Json], facts: Facts) -> list[str]:
    """Answer questions after training on others; both with four options each.

    Returns
    -------
    list of str
        The chosen option's text for each question that is asked.
    """
    numbers: dict[tuple[str, ...], int] = defaultdict(lambda: len(numbers) + 1)
    known, shown = _tabulate(train, facts, numbers), _tabulate(asked, facts, numbers)
    weights = _fit(known, _right(train), len(numbers) + 1)
    chosen = weights[shown].sum(2).argmax(1)
    return [row["choices"][place]["choice"] for row, place in zip(asked, chosen.tolist(), strict=True)]


def _tabulate(rows: Sequence[Json], facts: Facts, numbers: dict[tuple[str, ...], int]) -> NDArray[np.int64]:
    """Give the facts' numbers as an array (questions, options, facts), 0 where there is none."""
    found = [[[numbers[f] for f in facts(row, c["choice"])] for c in row["choices"]] for row in rows]
    width = max(len(option) for row in found for option in row)
    table = np.zeros((len(rows), 4, width), dtype=np.int64)
    for place, row in enumerate(found):
        for number, option in enumerate(row):
            table[place, number, : len(option)] = option
    return table


def _right(rows: Sequence[Json]) -> NDArray[np.int64]:
    """Give the places of the right options."""
    return np.array([[c["choice"] for c in row["choices"]].index(row["answer"]) for row in rows])


def _fit(table: NDArray[np.int64], right: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Fit the logit by Adam on all questions, weights shrunk towards nothing."""
    weights, slope, square = np.zeros(size), np.zeros(size), np.zeros(size)
    aim = np.eye(4)[right]
    for step in range(1, _STEPS + 1):
        score = weights[table].sum(2)
        share = np.exp(score - score.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        error = np.broadcast_to((share - aim)[:, :, None], table.shape)
        grad = np.bincount(table.ravel(), error.ravel(), size) / len(table) + _SHRINK * weights
        grad[0] = 0
        slope, square = 0.9 * slope + 0.1 * grad, 0.99 * square + 0.01 * grad**2
        weights -= _RATE * (slope / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
    return weights
