"""The small planner's lessons, prompts and training, beside the grammar planner and what runs it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.agent.conversation import conversation
from aotd.agent.grammar import GrammarPlanner, read_question
from aotd.agent.plan import planner_page
from aotd.agent.program_text import program_of
from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.config_text import TextConfig, TextLlmConfig
from aotd.tools.models import Message, Reply, TextRequest, ToolError
from aotd.tools.text_transformers import TransformersText
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Attempt, Reason, Refusal
from aotd.traces.star_phrases import parse_phrase
from aotd.traces.star_vocabulary import ACTIONS
from aotd.world.split import SPLITS
from aotd.world.templates import TEMPLATES
from aotd.zoo.other_questions import other_question
from aotd.zoo.questions import (
    REFUSAL,
    Lesson,
    asked_of_world,
    draw_lessons,
    kept_out,
    lessons_to_measure,
    pairs_of,
    refused,
    reworded,
)
from aotd.zoo.reword import reword
from aotd.zoo.wordings import WORDINGS

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
CONTEXT = 4096
SYSTEM = Message(role="system", content=planner_page())
REFUSED = Attempt(
    program="answer = 1\n",
    refusal=Refusal(
        outcome=Outcome.BREAKS_CONTRACT,
        reasons=(Reason(line=1, kind="contract", message='no "<question>\nQuestion: " here'),),
    ),
)
UNUSABLE = Attempt(
    program="",
    refusal=Refusal(
        outcome=Outcome.NO_RESPONSE, reasons=(Reason(line=None, kind="planner", message="it is empty"),)
    ),
)


def plain(text: str) -> str:
    """Give a question without what is now and then left out of it."""
    return text.lower().rstrip("?.")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Learn a vocabulary from a few lessons."""
    from aotd.zoo.planner import planner_tokenizer

    return planner_tokenizer(300)


@pytest.fixture(scope="module")
def weights(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a planner that has learnt nothing."""
    from aotd.zoo.planner import PlannerTask, save_planner

    folder = tmp_path_factory.mktemp("planner")
    save_planner(PlannerTask(0, tokenizer, SHAPE), folder)
    return folder


@pytest.fixture(scope="module")
def asked() -> list[Lesson]:
    """Ask what the world asks of some validation episodes."""
    return list(asked_of_world("validation", 0, 20))


@given(seed=st.integers(0, 10**9))
@settings(max_examples=30, deadline=None)
def test_no_pair_that_is_kept_out_is_ever_trained_with(seed: int) -> None:
    """Neither a condition, nor a relation, nor an option names a pair that is kept from training."""
    for lesson in draw_lessons(str(seed), 20):
        named = [] if lesson.reading is None else list(pairs_of(lesson.reading))
        options = map(parse_phrase, lesson.question.options or ())
        named += [(o.verb, o.obj) for o in options if o.verb and o.obj]
        assert not [pair for pair in named if kept_out(*pair)]


@given(seed=st.integers(0, 10**9))
@settings(max_examples=15, deadline=None)
def test_no_sentence_of_another_split_is_ever_trained_with(seed: int) -> None:
    """Training asks no question that a sentence of validation or test could ask of the same thing."""
    rng = random.Random(seed)
    for lesson in draw_lessons(str(seed), 10):
        if lesson.reading is not None:
            for split in ("validation", "test"):
                others = {plain(reword(lesson.reading, split, rng)) for _ in range(60)}
                assert plain(lesson.question.text) not in others


def test_each_form_has_sentences_of_its_own_in_each_split() -> None:
    """All 20 forms have eight sentences or more to train with and two or more for the test, none shared."""
    assert list(WORDINGS) == list(TEMPLATES)
    everywhere = [sentence for form in WORDINGS.values() for split in SPLITS for sentence in form[split]]
    assert len(everywhere) == len(set(everywhere))
    for form in WORDINGS.values():
        assert len(form["train"]) >= 8
        assert len(form["validation"]) >= 1
        assert len(form["test"]) >= 2


def test_kept_out_pairs_leave_every_verb_and_object_to_training() -> None:
    """Between a tenth and a fifth of STAR's actions are kept out, and no verb with all its objects."""
    kept = [a for a in ACTIONS if kept_out(a.verb, a.obj)]
    left = [a for a in ACTIONS if not kept_out(a.verb, a.obj)]
    assert len(ACTIONS) / 10 < len(kept) < len(ACTIONS) / 5
    assert {a.verb for a in left} == {a.verb for a in ACTIONS}


def test_wanted_replies_hold_what_the_grammar_planner_writes(asked: list[Lesson]) -> None:
    """A reply is one code block with the grammar's program for STAR's wording, and stays when reworded."""
    rng = random.Random(0)
    for lesson in asked:
        planned = asyncio.run(GrammarPlanner().plan(lesson.question))
        assert program_of(lesson.reply) == planned.source
        assert reworded(lesson, "test", rng).reply == lesson.reply


def test_a_refusal_holds_no_program() -> None:
    """What is replied to a question of another kind fails as a reply without a program."""
    assert program_of(REFUSAL) is None


def test_refused_questions_are_none_that_the_grammar_reads(asked: list[Lesson]) -> None:
    """Questions to be refused follow no form of STAR, in any split, and each split has words of its own."""
    rng = random.Random(0)
    drawn = [lesson for lesson in draw_lessons("refused", 600) if lesson.reading is None]
    assert len(drawn) > 50
    for lesson in (*drawn, *(refused(lesson, split, rng) for lesson in asked for split in SPLITS)):
        assert lesson.reply == REFUSAL
        assert read_question(lesson.question.text) is None
    trained, tested = ({other_question(split, rng) for _ in range(500)} for split in ("train", "test"))
    assert not trained & tested


def test_lessons_to_measure_come_by_kind() -> None:
    """There are as many of each kind, and those of unseen pairs each name such a pair."""
    measured = lessons_to_measure("validation", 6)
    kinds = ("asked", "unseen_pairs", "reworded", "refused")
    assert {name: len(lessons) for name, lessons in measured.items()} == dict.fromkeys(kinds, 6)
    for lesson in measured["unseen_pairs"]:
        assert lesson.reading is not None
        assert any(kept_out(*pair) for pair in pairs_of(lesson.reading))


def test_the_chat_template_keeps_the_question_alone(
    weights: Path, tokenizer: Any, asked: list[Lesson]
) -> None:
    """Of page, question and repairs a loaded model reads the question, and whether it has options."""
    from aotd.tools.chat_template import ChatTokens
    from aotd.zoo.planner import PlannerTask

    chat = ChatTokens(find_checkpoint(str(weights)))
    task = PlannerTask(0, tokenizer, SHAPE)
    opened = [
        lesson._replace(question=lesson.question.model_copy(update={"options": None})) for lesson in asked
    ]
    for lesson in (*asked[:10], *opened[:10]):
        options = "given" if lesson.question.options else "None"
        text = json.dumps(lesson.question.text)
        kept = f"<|im_start|>{text}\nPossible answers: {options}<|im_end|><|im_start|>"
        assert task.prompt(lesson) == kept
        for attempts in ((), (REFUSED,), (UNUSABLE,), (REFUSED, UNUSABLE, REFUSED, REFUSED)):
            tokens = chat.prompt(conversation(SYSTEM, lesson.question, attempts))
            assert tokens == tokenizer(kept, add_special_tokens=False)["input_ids"]


def test_every_reply_can_be_spelled(tokenizer: Any, asked: list[Lesson]) -> None:
    """Tokens of a reply give the reply again, few as they are, and so do those of a text of any script."""
    for lesson in asked:
        tokens = tokenizer(lesson.reply, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(tokens) == lesson.reply
        assert len(tokens) < 96
    text = 'Où a-t-elle posé "le livre"? 本はどこ'
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_prompt_without_a_question_is_an_error(weights: Path) -> None:
    """Whoever asks this model for anything but a plan is told so, and gets no reply."""
    request = TextRequest(role="judge", messages=(SYSTEM, Message(role="user", content="Was it right?")))
    (answer,) = text_model(weights, 20).complete([request])
    assert isinstance(answer, ToolError)
    assert answer.kind == "bad-request"
    assert "this model only plans" in answer.message


def test_the_context_holds_the_question_not_the_page(weights: Path, asked: list[Lesson]) -> None:
    """What has to fit into the context is what the model reads: some dozens of tokens of thousands."""
    request = TextRequest(role="planner", messages=conversation(SYSTEM, asked[0].question))
    (reply,) = text_model(weights, 20).complete([request])
    assert isinstance(reply, Reply)
    assert reply.prompt_tokens < 100
    (error,) = text_model(weights, CONTEXT).complete([request])
    assert isinstance(error, ToolError)
    assert error.message.startswith(f"a prompt of {reply.prompt_tokens} tokens")
    longest = TextConfig.model_validate(
        {"default": {"kind": "transformers", "weights": str(weights)}}
    ).default
    assert isinstance(longest, TextLlmConfig)
    assert reply.prompt_tokens + longest.max_tokens <= CONTEXT


def test_training_goes_on_where_it_was_cut(tokenizer: Any, tmp_path: Path) -> None:
    """The loss falls; a run that is cut and goes on ends with the weights of one that was not."""
    import torch

    from aotd.zoo.fit import Course, fit
    from aotd.zoo.planner import PlannerTask

    course = Course(steps=8, peak=5e-3, warmup=1, every=4)
    told: list[str] = []

    def cut(line: str) -> None:
        raise InterruptedError(line)

    def trained(folder: Path, tell: Callable[[str], None]) -> PlannerTask:
        task = PlannerTask(0, tokenizer, SHAPE, at_once=8, measured=4)
        fit(task, course, folder, seed=0, device="cpu", workers=0, tell=tell)
        return task

    whole = trained(tmp_path / "whole", told.append)
    with pytest.raises(InterruptedError):
        trained(tmp_path / "cut", cut)
    resumed = trained(tmp_path / "cut", told.append)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name])
    fresh = PlannerTask(0, tokenizer, SHAPE, at_once=8)
    batch = fresh.batch(course.steps)
    assert whole.loss(batch)[0] < fresh.loss(batch)[0] - 0.5
    assert (tmp_path / "cut" / "curve.csv").read_text() == (tmp_path / "whole" / "curve.csv").read_text()


def text_model(folder: Path, longest: int) -> TransformersText:
    """Load a planner as a run does."""
    return TransformersText(find_checkpoint(str(folder)), device="cpu", dtype="float32", max_tokens=longest)
