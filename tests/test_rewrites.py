"""Chains in a language model's wording: true ones pass both checks, falsified ones are caught."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from aotd.agent.complete import check_complete
from aotd.agent.verify import check_faithful
from aotd.agent.write import TemplateWriter
from aotd.traces.records import Example, Question, Rationale, Sentence, Trace
from aotd.traces.star_vocabulary import OBJECT_NAMES

Sentences = tuple[Sentence, ...]


class Case(NamedTuple):
    """A question, its trace and the chain that the templates tell."""

    question: Question
    trace: Trace
    sentences: Sentences

    def fault(self, sentences: Sentences) -> str:
        """Check a chain: why it is refused, or nothing."""
        rationale = Rationale(writer="w", sentences=sentences)
        faithful = check_faithful(self.question, self.trace, rationale, OBJECT_NAMES)
        complete = check_complete(self.question, self.trace, rationale)
        return "" if faithful.passed and complete.passed else f"{faithful.reason}; {complete.reason}"


def cases() -> Iterator[Case]:
    """Tell every golden story that has an answer."""
    for line in (Path(__file__).parent / "golden/stories.jsonl").read_text().splitlines():
        story = Example.model_validate_json(line)
        if story.trace is not None and story.trace.answer is not None:
            told = asyncio.run(TemplateWriter().write(story.question, story.trace))
            yield Case(story.question, story.trace, told.sentences)


CASES = list(cases())

WORDINGS: list[tuple[str, list[str]]] = [
    (r"^First, find when (.*): (frames? .*)\.$",
     [r"To begin with, the moment when \1 is located in \2.",
      r"I first look for when \1, which happens in \2.",
      r"Looking through the video, \1 in \2."]),
    (r"^First, keep (.*?): (frames? .*)\.$", [r"To start, we keep \1, which leaves \2."]),
    (r"^Next, (?:within [^,]*, )?(keep|find) (.*?): (frames? .*)\.$",
     [r"After that, we \1 \2, which leaves \3.", r"The next step is to \1 \2: that is \3."]),
    (r"^There, (.*) (is|are) seen at (.*)\.$",
     [r"In that part, \1 can be seen, with bounding boxes \3.", r"Within this part, \1 appears at \3."]),
    (r"^(.*) (is|are) seen at (.*)\.$", [r"We can see \1, located at \3.", r"\1 \2 visible at \3."]),
    (r"^(.*) is never seen\.$", [r"\1 does not appear.", r"There is no sign of it: \1 is not visible."]),
    (r"^There, this is to be seen: (\".*\")\.?$",
     [r"The summary of that part says \1.", r"What happens there is summed up as \1."]),
    (r"^In (frames? [^,]*), the (.*) is the (.*)\.$",
     [r"Looking at \1, the \2 turns out to be the \3.", r"Between these frames, \1, the \2 is the \3."]),
    (r"^So the answer is (.*)$", [r"Therefore, the correct answer is \1", r"Hence the answer must be \1"]),
    (r"(.*), the answer is (.*)$", [r"\1; from this it follows that the answer is \2"]),
]  # fmt: skip
"""How a model might word what the templates say."""


def reworded(case: Case, rng: random.Random) -> Sentences:
    """Word a chain anew."""
    return tuple(s.model_copy(update={"text": _reworded(s.text, rng)}) for s in case.sentences)


def _reworded(text: str, rng: random.Random) -> str:
    for pattern, wordings in WORDINGS:
        if re.search(pattern, text):
            new = re.sub(pattern, rng.choice(wordings), text)
            return new[:1].upper() + new[1:]
    return text


def _texts(
    sentences: Sentences, pattern: str, new: Callable[[re.Match[str]], str | None]
) -> Iterator[Sentences]:
    """Change each match of a pattern in turn."""
    for index, sentence in enumerate(sentences):
        for match in re.finditer(pattern, sentence.text):
            told = new(match)
            if told is not None and told != match[0]:
                text = sentence.text[: match.start()] + told + sentence.text[match.end() :]
                yield _with(sentences, index, sentence.model_copy(update={"text": text}))


def _with(sentences: Sentences, index: int, *new: Sentence) -> Sentences:
    return (*sentences[:index], *new, *sentences[index + 1 :])


def _moved(number: str, rng: random.Random) -> str:
    return str(max(0, int(number) + rng.choice([-3, -2, -1, 1, 2, 3])))


def windows(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Move an edge of a window."""
    yield from _texts(told, r"(?<=frames )\d+(?= to)|(?<= to )\d+(?=[ ,.])", lambda m: _moved(m[0], rng))


def frames(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Tell a box for another frame."""
    yield from _texts(told, r"(?<=\] in frame )\d+", lambda m: _moved(m[0], rng))


def boxes(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Change one edge of a box."""
    yield from _texts(
        told, r"(?<=\[)\d+(?=, \d+, \d+, \d+\])", lambda m: str(int(m[0]) + rng.choice([-9, 4, 30]))
    )


def objects(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Name another object."""
    known = "|".join(["sandwich", "person", "dish", "table", "cup", "laptop", "broom", "door", "box", "book"])
    yield from _texts(told, rf"\b(?:{known})\b", lambda m: rng.choice(["towel", "pillow", "mirror", "shoe"]))


def answers(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """State another answer."""
    others = [o for o in case.question.options or ("7", "nobody knows") if o != case.trace.answer]
    yield from _texts(told, r"(?<=answer is ).*|(?<=answer must be ).*", lambda _: rng.choice(others))


def denials(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Deny what was found, or find what was not."""
    yield from _texts(
        told[:-1], r"\b(?:can be|is) (?=seen|visible)|\bappears\b", lambda m: f"{m[0]} never ".strip() + " "
    )
    yield from _texts(
        told[:-1], r"\bdoes not appear\b|\bis not visible\b|\bis never seen\b", lambda _: "is visible"
    )


def quotes(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Change a word of a quotation."""

    def changed(match: re.Match[str]) -> str:
        return match[0].replace(rng.choice(match[0].strip('"').split()), "gladly", 1)

    yield from _texts(told, r'"[^"]{8,}"', changed)


def counts(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Tell another count."""
    yield from _texts(told, r"(?<=[Aa]t most )\d+", lambda m: str(int(m[0]) + rng.choice([1, 2, 5])))


def orders(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Tell a list in another order."""
    yield from _texts(told, r"(?<=person )(.*), then (.*?)(?=\.)", lambda m: f"{m[2]}, then {m[1]}")


def abridged(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Leave boxes out."""
    yield from _texts(told, r", \[\d+, \d+, \d+, \d+\] in frame \d+\.$", lambda _: " and so on.")


def invented(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Add a sentence that no call bears out."""
    for text in ("A dog runs past.", "The person then washes the mirror.", "This is seen in frames 1 to 31.",
                 "Two towels are visible.", "The towel is at [5, 6, 70, 80] in frame 3."):  # fmt: skip
        index = rng.randrange(len(told))
        yield (*told[:index], Sentence(text=text, calls=told[index].calls), *told[index:])


def citations(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Cite another call, or none."""
    numbers = [call.number for call in case.trace.calls]
    for index, sentence in enumerate(told):
        other = rng.choice([n for n in (*numbers, numbers[-1] + 1) if n not in sentence.calls])
        for calls in ((other,), ()) if sentence is not told[-1] else ((other,),):
            yield _with(told, index, sentence.model_copy(update={"calls": calls}))


def omissions(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Leave out a sentence that matters."""
    for index, sentence in enumerate(told):
        if case.fault(_with(case.sentences, index)) and sentence.calls:
            yield _with(told, index)


def leaps(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Go to the answer at once, citing everything."""
    every = tuple(call.number for call in case.trace.calls)
    yield (told[-1].model_copy(update={"calls": every}),)
    yield (told[0], told[-1].model_copy(update={"calls": every}))


def swaps(case: Case, told: Sentences, rng: random.Random) -> Iterator[Sentences]:
    """Let two sentences trade their citations."""
    for a, b in zip(range(len(told)), range(1, len(told)), strict=False):
        if told[a].calls != told[b].calls:
            changed = _with(told, a, told[a].model_copy(update={"calls": told[b].calls}))
            yield _with(changed, b, told[b].model_copy(update={"calls": told[a].calls}))


MUTATIONS = [
    *(windows, frames, boxes, objects, answers, denials, quotes, counts),
    *(invented, citations, omissions, leaps, swaps, orders, abridged),
]


def test_true_rewrites_pass() -> None:
    """Other wordings of what was found pass both checks."""
    faults = {
        (" ".join(s.text for s in told), fault)
        for seed in range(20)
        for case in CASES
        if (fault := case.fault(told := reworded(case, random.Random(seed))))
    }
    assert not faults


def test_false_rewrites_are_caught() -> None:
    """Of falsified rewrites 98 in 100 are refused; what passes is the order, or a verb, of what was found."""
    made: Counter[str] = Counter()
    passed: dict[str, list[str]] = {}
    for seed in range(2):
        for case in CASES:
            rng = random.Random(seed)
            told = reworded(case, rng)
            for mutate in MUTATIONS:
                for falsified in mutate(case, told, rng):
                    made[mutate.__name__] += 1
                    if not case.fault(falsified):
                        text = " ".join(f"{s.text} {list(s.calls)}" for s in falsified)
                        passed.setdefault(mutate.__name__, []).append(text)
    caught = 1 - sum(map(len, passed.values())) / made.total()
    assert made.total() >= 200
    assert caught >= 0.98
    assert set(passed) <= {"orders", "invented"}, passed
