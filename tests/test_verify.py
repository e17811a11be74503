"""The checks: an untouched chain passes, and every single falsified detail is refused."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aotd.agent.claims import read_claims
from aotd.agent.score import Scored
from aotd.agent.verify import check_answer, check_faithful
from aotd.agent.write import TemplateWriter
from aotd.benchmarks.planted import (
    Fault,
    Told,
    count_refused,
    moved_edges,
    shifted_frames,
    swapped_boxes,
    with_text,
)
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Example, Question, Rationale, Sentence, Trace
from aotd.traces.star_vocabulary import OBJECT_NAMES

STORIES = [
    Example.model_validate_json(line)
    for line in (Path(__file__).parent / "golden/stories.jsonl").read_text().splitlines()
]
COUNT = re.compile(r"(?<=at most )\d+")


class Case(NamedTuple):
    """A question, its trace and the chain of thought that the templates tell."""

    question: Question
    trace: Trace
    rationale: Rationale

    def faithful(self, rationale: Rationale) -> bool:
        """Check a chain against this case's trace."""
        return check_faithful(self.question, self.trace, rationale, OBJECT_NAMES).passed


def case(example: Example) -> Case:
    """Tell an example's trace."""
    assert example.trace is not None
    rationale = asyncio.run(TemplateWriter().write(example.question, example.trace))
    return Case(example.question, example.trace, rationale)


CASES = [case(story) for story in STORIES]
ANSWERED = [c for c in CASES if c.trace.answer is not None]


Mutation = Callable[[Case, random.Random], Iterator[Rationale]]


def with_sentence(rationale: Rationale, index: int, sentence: Sentence) -> Rationale:
    """Change one sentence."""
    sentences = list(rationale.sentences)
    sentences[index] = sentence
    return rationale.model_copy(update={"sentences": tuple(sentences)})


def replaced(text: str, match: re.Match[str], new: str) -> str:
    """Replace what matched."""
    return text[: match.start()] + new + text[match.end() :]


def in_chain(fault: Fault) -> Mutation:
    """Give the chains that a planted fault makes."""

    def mutate(case: Case, rng: random.Random) -> Iterator[Rationale]:
        return (told.rationale for told in fault(Told(*case), rng))

    mutate.__name__ = fault.__name__
    return mutate


def changed_counts(case: Case, rng: random.Random) -> Iterator[Rationale]:
    """Tell another count."""
    for i, sentence in enumerate(case.rationale.sentences):
        for match in COUNT.finditer(sentence.text):
            for _ in range(3):
                other = str(int(match[0]) + rng.choice([-1, 1, 2, 5]))
                yield with_text(case.rationale, i, replaced(sentence.text, match, other))


def other_objects(case: Case, rng: random.Random) -> Iterator[Rationale]:
    """Name another object of the vocabulary."""
    for i, sentence in enumerate(case.rationale.sentences):
        for name in OBJECT_NAMES:
            for match in re.finditer(rf"\b{re.escape(name)}\b", sentence.text):
                other = rng.choice([n for n in OBJECT_NAMES if n != name])
                yield with_text(case.rationale, i, replaced(sentence.text, match, other))


def other_answers(case: Case, rng: random.Random) -> Iterator[Rationale]:
    """State another answer, in words or by another letter."""
    last = len(case.rationale.sentences) - 1
    head, told, answer = case.rationale.sentences[last].text.partition("answer is ")
    options = case.question.options or ("a toast", "17", "the cats jumped")
    for index, option in enumerate(options):
        if told and option.rstrip(".") != answer.rstrip("."):
            yield with_text(case.rationale, last, f"{head}{told}{option}")
            if case.question.options:
                yield with_text(case.rationale, last, f"{head}{told}({chr(65 + index)}) {answer}")


def wrong_calls(case: Case, rng: random.Random) -> Iterator[Rationale]:
    """Cite one other call, of the trace or beyond it."""
    numbers = {call.number for call in case.trace.calls}
    for i, sentence in enumerate(case.rationale.sentences):
        for number in [*sorted(numbers - set(sentence.calls)), max(numbers) + 1]:
            yield with_sentence(case.rationale, i, sentence.model_copy(update={"calls": (number,)}))


MUTATIONS: list[Mutation] = [
    *(in_chain(fault) for fault in (swapped_boxes, shifted_frames, moved_edges)),
    *(changed_counts, other_objects, other_answers, wrong_calls),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.question.id)
def test_own_rationale_is_faithful(case: Case) -> None:
    """What the templates tell of a trace is faithful to it."""
    verdict = check_faithful(case.question, case.trace, case.rationale, OBJECT_NAMES)
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_single_falsifications_are_refused(mutate: Mutation) -> None:
    """A chain with one detail falsified is refused; of object names one in fifty may pass."""
    falsified = [(c, m) for seed in range(3) for c in ANSWERED for m in mutate(c, random.Random(seed))]
    passed = [m.text for c, m in falsified if c.faithful(m)]
    assert len(falsified) >= 9
    assert len(passed) <= len(falsified) / (50 if mutate is other_objects else 1e9), passed


def test_planted_faults_are_counted_and_refused() -> None:
    """Boxes and frames falsified in a chain, or in the trace under it, are all refused; equal seeds agree."""
    kept = [
        story.model_copy(update={"kept": True, "rationale": told.rationale})
        for story, told in zip(STORIES, CASES, strict=True)
        if told in ANSWERED
    ]
    counts = count_refused(kept, seed=0)
    assert counts == count_refused(kept, seed=0)
    assert count_refused(STORIES, seed=0) != counts, "what is not kept was never told"
    assert all(planted >= 5 for planted, _ in counts.values()), counts
    assert all(refused == planted for planted, refused in counts.values()), counts


SANDWICH, SEQUENCE, COUNT_CUPS, _, _, _, DOGS = CASES


@pytest.mark.parametrize(
    ("case", "text", "calls"),
    [
        (
            SANDWICH,
            "To answer the question, find when they put down the sandwich: frames 3-9.",
            (1,),
        ),
        (SANDWICH, "The person is putting down the sandwich between frames 3 and 9.", (1,)),
        (
            SANDWICH,
            "In frame 3 a person is at [139,141,229,342]; in frame 4 at [140, 138, 231, 340].",
            (2,),
        ),
        (SANDWICH, "The bounding boxes of the person are [139, 141, 229, 342] (frame 3) and so on.", (2,)),
        (SANDWICH, "From frame 3 to frame 9, the object that was put down is the sandwich.", (1, 4)),
        (SANDWICH, "Step 3: the sandwich is what the person put down [4].", (4,)),
        (SANDWICH, "The summary says the person \u201csits down\u201d.", (3,)),
        (SANDWICH, "Thus, the correct answer is (B) The sandwich, because it was put down.", (5,)),
        (SANDWICH, "The question asks which of the options, such as the laptop, was put down.", ()),
        (SEQUENCE, "Next, look for the dish.", (5,)),
        (SEQUENCE, "No dish is visible between frame 12 and frame 32.", (5,)),
        (COUNT_CUPS, "There are three cups at most.", (4,)),
        (COUNT_CUPS, "Three cups stand in frame 11, but no laptop is there.", (2, 4)),
        (COUNT_CUPS, "The clip with the table has 8 frames.", (1,)),
    ],
)
def test_faithful_prose(case: Case, text: str, calls: tuple[int, ...]) -> None:
    """Other people's words pass when they claim what the cited calls found."""
    told = Sentence(text=text, calls=calls)
    rationale = case.rationale.model_copy(update={"sentences": (told, case.rationale.sentences[-1])})
    verdict = check_faithful(case.question, case.trace, rationale, OBJECT_NAMES)
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize(
    ("case", "text", "calls", "why"),
    [
        (SANDWICH, "The person is at [139, 141, 229, 342] in frame 4.", (2,), "no cited call saw"),
        (SANDWICH, "The person is at [139.5, 141, 229, 342] in frame 3.", (2,), "no cited call saw"),
        (SANDWICH, "The person is putting down the sandwich in frames 3 to 8.", (1,), "no cited call looked"),
        (SANDWICH, "The person is putting down the sandwich in frames 0 to 32.", (1,), "does not tell"),
        (SANDWICH, "The person is putting down the sandwich before frame 3.", (1,), "border"),
        (SANDWICH, "The person put down the sandwich.", (), "without citing"),
        (SANDWICH, "The person is at [139, 141, 229, 342] in frame 3.", (), "without citing"),
        (SANDWICH, "The object put down by the person is the laptop.", (4,), 'names "laptop"'),
        (SANDWICH, "The person does not put down the sandwich.", (4,), "denies"),
        (SANDWICH, "The person never puts down the sandwich.", (1,), "denies"),
        (SANDWICH, 'The summary says: "a person eats a sandwich".', (3,), "quotes"),
        (SANDWICH, "There the person put down the sandwich.", (5,), "choice of call 5"),
        (SANDWICH, "So the answer is The laptop.", (5,), "states the answer"),
        (SANDWICH, "So the answer is The sandwich.", (4,), "without citing call 5"),
        (SANDWICH, "So the answer is The sandwich.", (9,), "cites call 9"),
        (SEQUENCE, "The dish is visible.", (5,), "tells as seen"),
        (SEQUENCE, "The person took the sandwich.", (6,), "leaves out"),
        (SEQUENCE, "The person is at [100, 20, 180, 260] in frame 12.", (5,), "no cited call saw"),
        (COUNT_CUPS, "There are two cups.", (4,), "counted 2"),
        (COUNT_CUPS, "There are 3 laptops and 3 cups.", (2, 4), "tells as seen|counted"),
        (COUNT_CUPS, "The red cup is at [120, 150, 150, 203] in frame 11.", (3, 4), "no sighting of red cup"),
        (COUNT_CUPS, "The laptop is seen.", (2,), "tells as seen"),
        (COUNT_CUPS, "The table is seen.", (1, 2), "says nothing"),
        (DOGS, "At once the dogs jumped for 12 seconds.", (6,), "counted 12"),
    ],
)  # fmt: skip
def test_unfaithful_prose(case: Case, text: str, calls: tuple[int, ...], why: str) -> None:
    """A claim that the cited calls do not make is refused, with the reason."""
    told = Sentence(text=text, calls=calls)
    rationale = case.rationale.model_copy(update={"sentences": (told, case.rationale.sentences[-1])})
    verdict = check_faithful(case.question, case.trace, rationale, OBJECT_NAMES)
    assert not verdict.passed
    assert re.search(why, verdict.reason), verdict.reason


def test_answer_has_to_be_told() -> None:
    """A chain that never comes to the answer is refused, and so is one that invents an answer."""
    silent = SANDWICH.rationale.model_copy(update={"sentences": SANDWICH.rationale.sentences[:1]})
    assert SANDWICH.faithful(silent) is False
    failed = CASES[5]
    invented = with_text(failed.rationale, 0, "So the answer is Close the book.")
    assert failed.trace.answer is None
    assert failed.faithful(invented) is False


@given(st.text(st.sampled_from('0123456789[](),.:;- "framestocupandwerisnt'), max_size=80))
@example("In frame " + "7" * 5000 + " [1, 2, 3, " + "4" * 5000 + "] there are " + "9" * 5000 + " cups.")
@settings(max_examples=80, deadline=None)
def test_any_prose_is_judged(text: str) -> None:
    """Whatever a model writes gets a verdict and never an error."""
    for calls in ((), (1, 2, 3, 4)):
        rationale = Rationale(writer="w", sentences=(Sentence(text=text, calls=calls),))
        assert check_faithful(COUNT_CUPS.question, COUNT_CUPS.trace, rationale, OBJECT_NAMES).reason


def test_check_answer() -> None:
    """Right answers pass, after repair too; everything else does not, and says why."""
    for outcome in Outcome:
        verdict = check_answer(SANDWICH.question, SANDWICH.trace, Scored(outcome, None, "why"))
        assert verdict.passed is (outcome in {Outcome.RIGHT, Outcome.RIGHT_AFTER_REPAIR})
        assert verdict.reason == "why"


def test_reading_claims() -> None:
    """Boxes take the frame told right after them, else before them; windows and numbers are kept apart."""
    claims = read_claims(
        'In frame 3 the cup is at [1, 2, 3, 4] and the dish at [5, 6, 7, 8] in frame 4; "frame 9" from '
        "frame 2 to frame 5 and frames 7, 8 and 9 show three of 12 cups. The answer is: yes."
    )
    assert [(tuple(b.box), b.frame, b.words.split()[-2]) for b in claims.boxes] == [
        ((1, 2, 3, 4), 3, "is"),
        ((5, 6, 7, 8), 4, "dish"),
    ]
    assert claims.windows == ((2, 5),)
    assert claims.frames == (3, 4, 7, 8, 9)
    assert [c.number for c in claims.counts] == [3, 12]
    assert [q for _, q in claims.quotes] == ["frame 9"]
    assert claims.answer == "yes."
