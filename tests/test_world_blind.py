"""Tests that the household's questions cannot be answered without looking: two baselines without video."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

from aotd.traces.star_phrases import parse_phrase
from aotd.world.blind import BLIND, Facts, Json, blind_answers, questions

TRAIN_EPISODES, TEST_EPISODES = 700, 200
"""Episodes that are asked about; of each split the first."""


@lru_cache(maxsize=1)
def both() -> tuple[list[Json], list[Json]]:
    """Give the questions of both splits."""
    return questions("train", TRAIN_EPISODES), questions("test", TEST_EPISODES)


def accuracy(facts: Facts) -> float:
    """Train on the training split and give the share of the test split that is answered right."""
    train, test = both()
    known = blind_answers(train, train, facts)
    assert share_right(known, train) > 0.4, "nothing was learnt at all"
    return share_right(blind_answers(train, test, facts), test)


def share_right(said: list[str], rows: list[Json]) -> float:
    """Give the share of answers that are the annotated ones."""
    return sum(text == row["answer"] for text, row in zip(said, rows, strict=True)) / len(rows)


def test_enough_is_asked() -> None:
    """Both splits give many questions of every form, fewest of those that need the rarest conditions."""
    train, test = both()
    assert len(train) >= 5000
    assert len(test) >= 1500
    for rows, fewest in ((train, 30), (test, 5)):
        counts = Counter(row["question_id"].rpartition("_")[0] for row in rows)
        assert len(counts) == 20
        assert min(counts.values()) >= fewest


def test_text_alone_does_not_tell() -> None:
    """Who reads questions and options only is right in at most 30 % of the test split; chance is 25 %."""
    assert accuracy(BLIND["text alone"]) <= 0.30


def test_knowing_what_is_in_the_room_does_not_tell() -> None:
    """Who also knows all objects that are seen is right in at most 35 %.

    One form of twenty, Feasibility_T1, asks for no more than which object is there.
    """
    assert accuracy(BLIND["text and objects"]) <= 0.35


def test_the_baselines_find_a_bias_that_is_there() -> None:
    """When right options are those of one verb wherever it is offered, the baseline that reads finds out."""
    biased = []
    for rows in both():
        takes = [
            [c["choice"] for c in r["choices"] if parse_phrase(c["choice"]).verb == "take"] for r in rows
        ]
        biased.append([{**r, "answer": t[0]} for r, t in zip(rows, takes, strict=True) if len(t) == 1])
    train, test = biased
    assert share_right(blind_answers(train, test, BLIND["text alone"]), test) > 0.9


def test_no_position_is_favoured() -> None:
    """Each of the four positions holds between 22 and 28 % of the right options."""
    _, test = both()
    places = Counter([c["choice"] for c in row["choices"]].index(row["answer"]) for row in test)
    assert all(0.22 <= count / places.total() <= 0.28 for count in places.values())
