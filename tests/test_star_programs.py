"""What STAR programs collect in small hand-made stories."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from aotd.agent.grammar import GrammarPlanner
from aotd.traces.records import Question
from aotd.traces.star_phrases import action_phrase, parse_phrase, relation_phrase
from aotd.traces.star_vocabulary import ACTIONS

OPTIONS = ("The dish.", "The book.", "The paper/notebook.", "The bag.")
CANONICAL = {action_phrase(a.id): a for a in ACTIONS}


class Nothing(Exception):
    """Stands for EmptyClip."""


class Part:
    """Some positions of a story."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.ids)

    def edge(self, which: int) -> int:
        """First or last position; raises on an empty part."""
        if not self.ids:
            raise Nothing
        return self.ids[which]

    start = property(lambda self: self.edge(0))
    end = property(lambda self: self.edge(-1) + 1)


class Story:
    """Answers a program's calls from a list of what is seen at each position, and notes the queries.

    A position holds action phrases ("take the book"), relation phrases ("holding the book") and objects.
    """

    def __init__(self, *frames: tuple[str, ...]) -> None:
        self.frames = frames
        self.queried: list[list[int]] = []
        self.info: dict[str, object] = {}
        self.supported = ""
        self.answer: object = None

    def seen(self, part: Part) -> list[str]:
        """Everything in the part in order of first appearance."""
        if not part.ids:
            raise Nothing
        return list(dict.fromkeys(what for i in part.ids for what in self.frames[i]))

    def acts(self, part: Part) -> list[str]:
        """The action phrases among them."""
        return [what for what in self.seen(part) if what in CANONICAL]

    def localise(self, part: Part, text: str) -> Part:
        """Keep the positions of an action or relation."""
        event = parse_phrase(text)
        word = (
            action_phrase(event.action)
            if event.action
            else relation_phrase(event.relation or "", event.obj or "")
        )
        return Part([i for i in part.ids if word in self.frames[i]])

    def trim(self, part: Part, start: int | None = None, end: int | None = None) -> Part:
        """Cut a part."""
        return Part([i for i in part.ids if (start is None or i >= start) and (end is None or i < end)])

    def objects(self, part: Part, query: str, options: list[str] | None = None) -> list[str]:
        """Name the objects of a verb, as options when there are any."""
        verb = parse_phrase(query).verb
        names = [a.obj for a in map(CANONICAL.__getitem__, self.acts(part)) if a.verb == verb]
        worded = {name: f"The {name}." for name in names}
        return list(worded) if options is None else [text for text in worded.values() if text in options]

    def actions(
        self, part: Part, obj: str | None = None, possible_answers: list[str] | None = None
    ) -> list[str]:
        """Name the actions, as options in base form when there are any."""
        self.queried.append(part.ids)
        named = [what for what in self.acts(part) if obj is None or CANONICAL[what].obj == obj]
        if possible_answers is None:
            return named
        return [text for text in (f"{n[0].upper()}{n[1:]}." for n in named) if text in possible_answers]

    def tell(self, text: str, options: tuple[str, ...] = OPTIONS) -> list[str]:
        """Run the question's program and return what it collected from its queries, in one list."""

        def keep(_: str, info: dict[str, object], __: object) -> str:
            self.info = info
            return self.supported

        functions: dict[str, Callable[..., object]] = {
            "Filter_frames_with_act": self.localise,
            "trim": self.trim,
            "Find": lambda part, name: Part([i for i in part.ids if name in self.frames[i]]),
            "exist": lambda part, name: any(name in self.frames[i] for i in part.ids),
            "Query_Objs": self.objects,
            "Query_Actions": self.actions,
            "Video_summary": lambda part, query: f"seen {part.start} {query}",
            "Video_query": lambda part, query, options: f"of {len(part.ids)} frames and {options}: {query}",
            "select_answer": keep,
        }
        scope: dict[str, object] = dict(functions)
        question = Question(id="q", dataset="star", video_id="v", text=text, options=options)
        planned = asyncio.run(GrammarPlanner().plan(question))
        exec(planned.source or "", scope)  # noqa: S102
        run = scope["execute_command"]
        assert callable(run)
        self.answer = run(Part(range(len(self.frames))), text, list(options))
        return [what for value in self.info.values() if isinstance(value, list) for what in value]


def test_after_and_before_take_the_neighbours_of_the_event() -> None:
    """The first thing after an event and the last before it, among several."""
    story = Story(
        ("take the book",), ("open the book",), ("open the bag",), ("close the book",), ("put down the book",)
    )
    assert story.tell("What happened after the person opened the bag?") == ["close the book"]
    assert story.tell("What happened before the person opened the bag?") == ["open the book"]
    assert story.tell("What did the person do to the book after opening the bag?") == ["close the book"]
    assert story.tell("What did the person do to the book before opening the bag?") == ["open the book"]
    assert story.tell("Which object did the person put down after they opened the bag?") == ["book"]
    assert story.tell("Which object did the person take before they opened the bag?") == ["book"]


def test_an_event_at_the_edge_leaves_what_overlaps_it() -> None:
    """An event that lasts to the end is followed by what begins during it, never by itself."""
    story = Story(("take the book",), ("take the book", "take the bag"), ("take the book", "take the bag"))
    assert story.tell("What happened after the person took the book?") == ["take the bag"]
    assert story.tell("What happened before the person took the book?") == ["take the bag"]
    assert story.tell("Which object did the person take after they took the book?") == ["bag"]
    assert story.tell("Which object would the person take next after they took the book?") == ["bag"]
    assert story.tell("Which object is the person able to take after taking the book?") == ["The bag."]
    able = "What is the person able to do after taking the book?"
    assert story.tell(able, ("Take the book.", "Take the bag.", "Hold the bag.")) == ["Take the bag."]


def test_an_event_never_seen_ends_the_program() -> None:
    """Nothing else is looked at in its place."""
    story = Story(("take the book",), ("open the book",))
    for text in (
        "What happened after the person opened the bag?",
        "Which object did the person take before they opened the bag?",
        "What did the person do while they were holding the bag?",
        "What did the person do while they were holding the bag and holding the dish?",
    ):
        with pytest.raises(Nothing):
            story.tell(text)


def test_two_states_are_merged_from_the_whole_clip() -> None:
    """Either state counts, together or alone; what happens outside both does not."""
    options = ("Take the book.", "Open the book.", "Close the book.", "Throw the book.")
    text = "What did the person do while they were touching the bag and leaning on the bed?"
    touch, lean = relation_phrase("touching", "bag"), relation_phrase("leaning_on", "bed")
    both = Story((touch, "take the book"), (lean, "open the book"), ("close the book",))
    assert both.tell(text, options) == ["Take the book.", "Open the book."]
    assert both.queried == [[0], [1]]
    alone = Story(("take the book",), (lean, "open the book"))
    assert alone.tell(text, options) == ["Open the book."]
    assert alone.queried == [[1]]
    nowhere = Story(("take the book",))
    with pytest.raises(Nothing):
        nowhere.tell(text, options)
    assert nowhere.queried == [[]]


def test_next_is_everything_but_the_first_action() -> None:
    """Predictions leave out the action with which the clip begins, and nothing else."""
    story = Story(("take the book",), ("take the bag",), ("open the bag",), ("throw the book",))
    assert story.tell("What will the person do next?") == ["take the bag", "open the bag", "throw the book"]
    assert story.tell("What will the person do next with the book?") == ["throw the book"]
    assert story.tell("Which object would the person take next?") == ["bag"]
    assert story.tell("Which object would the person throw next?") == ["book"]


def test_else_and_other_leave_out_the_first() -> None:
    """Another object is in the scene, fits the verb and differs by its whole name: a book is no notebook."""
    story = Story(("take the paper/notebook", "book"), ("put down the paper/notebook", "bag", "bed"))
    assert story.tell("What else is the person able to do with the paper/notebook?") == [
        "put down the paper/notebook"
    ]
    other = "Which other object is possible to be taken by the person?"
    assert story.tell(other, ("The book.", "The bed.", "The paper/notebook.", "The dish.")) == ["book"]


def test_only_what_is_to_be_foreseen_is_asked_of_the_clip_when_evidence_decides_nothing() -> None:
    """Predictions ask the whole question where nothing is selected; other questions stay unanswered."""
    story = Story(("take the book",), ("open the book",))
    ahead, past = "What will the person do next?", "What happened after the person took the book?"
    story.tell(ahead)
    assert story.answer == f"of 2 frames and {list(OPTIONS)}: {ahead}"
    story.tell(past)
    assert story.answer == ""
    story.supported = "Opened the book."
    story.tell(ahead)
    assert story.answer == "Opened the book."
