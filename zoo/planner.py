"""Train the planner: a Qwen2 of 2 million weights, from nothing, on questions of the household.

It stands where any chat model that plans does and is asked by the same prompt, of which its chat template
keeps the question and whether there are options: it has learnt the functions, the rules and the examples by
heart, and how options are worded changes no program. It knows no other question and says so.
Class: Qwen2 (Yang et al., 2024), as transformers has it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from aotd.agent.conversation import conversation
from aotd.prompts.quoting import quoted
from aotd.tools.models import Message
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.zoo.fit import Batch, Course, fit
from aotd.zoo.questions import Lesson, draw_lessons, lessons_to_measure

__all__ = ["COURSE", "SMALL", "PlannerTask", "planner_tokenizer", "save_planner", "train_planner"]

COURSE: Final = Course(steps=2_400, peak=1.5e-3, warmup=100, every=250)

SMALL: Final[Mapping[str, Any]] = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
"""Its shape."""

_CONTEXT: Final = 4096
"""Tokens of a prompt and its longest reply, which a run takes to be 2,048 unless told."""
_WORDS: Final = 1200
_REPLY: Final = 96
"""Longest reply that is measured, in tokens."""

_SPECIALS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CHAT: Final = (
    "{%- set asked = namespace(text='') -%}"
    "{%- for m in messages if m['role'] == 'user' and '<question>\\nQuestion: ' in m['content'] -%}"
    "{%- set asked.text = m['content'].split('<question>\\nQuestion: ')[1].split('</question>')[0] -%}"
    "{%- endfor -%}"
    "{%- if not asked.text -%}"
    "{{- raise_exception('this model only plans: no question stands between <question> and </question>') -}}"
    "{%- endif -%}"
    "{%- set parts = asked.text.split('\\nPossible answers: ') -%}"
    "{%- set options = 'None' if parts[1].strip() == 'None' else 'given' -%}"
    "{{- '<|im_start|>' + parts[0].strip() + '\\nPossible answers: ' + options + '<|im_end|>' -}}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>' -}}{%- endif -%}"
)
_BETWEEN: Final = r'(?:(?:\n[^"\n]*)+"?|"[\])},][^"\n]*(?:\n[^"\n]*)*"?)'
_OPTIONS: Final = ("\nPossible answers: given", "\nPossible answers: None")
"""What the chat template leaves of the options."""
_ALWAYS: Final = r'(?:person(?=")|what the person does(?="))'
_CODE: Final = re.compile(rf"(?:```python)?{_BETWEEN}(?:{_ALWAYS}{_BETWEEN})*(?:person is(?= ))?")
"""What stands in a reply between two literals that depend on the question: each is one token."""


class PlannerTask:
    """Learns to reply to a question with its program.

    Parameters
    ----------
    seed
        Decides the first weights and the lessons.
    tokenizer
        By `planner_tokenizer`.
    shape
        Sizes, as Qwen2's configuration names them.
    at_once
        Lessons in a batch.
    measured
        Questions of each kind that are measured.
    """

    def __init__(
        self,
        seed: int,
        tokenizer: Any,
        shape: Mapping[str, Any] = SMALL,
        *,
        at_once: int = 32,
        measured: int = 96,
    ) -> None:
        mend_torchvision()
        torch.manual_seed(seed)
        self._seed, self._at_once = seed, at_once
        self.tokenizer = tokenizer
        self.model = _new_model(tokenizer, shape)
        self._most = measured
        self._measured: dict[str, list[Lesson]] = {}

    def lessons(self, step: int) -> list[Lesson]:
        """Draw the lessons of a step."""
        return draw_lessons(f"{self._seed}/{step}", self._at_once)

    def batch(self, step: int) -> Batch:
        """Give a step's lessons as `ids` and `told` [N, tokens]: what is read, what of it is the reply."""
        rows = []
        for lesson in self.lessons(step):
            prompt = self._tokens(self.prompt(lesson))
            reply = [*self._tokens(lesson.reply), self.tokenizer.eos_token_id]
            rows.append((prompt + reply, [False] * len(prompt) + [True] * len(reply)))
        longest = max(len(ids) for ids, _ in rows)
        pad = self.tokenizer.pad_token_id
        return {
            "ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in rows]),
            "told": torch.tensor([told + [False] * (longest - len(told)) for _, told in rows]),
        }

    def prompt(self, lesson: Lesson) -> str:
        """Render a question as the planner `llm` and the chat template do; the page is left out by both."""
        messages = conversation(Message(role="system", content=""), lesson.question)
        turns = [{"role": m.role, "content": m.content} for m in messages]
        text: str = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return text

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Weigh the tokens of the replies alone."""
        ids, told = batch["ids"], batch["told"][:, 1:]
        with torch.autocast(ids.device.type, torch.bfloat16):
            states = self.model.model(input_ids=ids[:, :-1]).last_hidden_state[told]
            logits = self.model.lm_head(states)
        loss = F.cross_entropy(logits.float(), ids[:, 1:][told])
        right = logits.argmax(-1) == ids[:, 1:][told]
        return loss, {"loss": loss, "tokens_right": right.float().mean()}

    def scores(self) -> Mapping[str, float]:
        """Measure replies on the validation split: the share that is right to the letter."""
        if not self._measured:
            self._measured = lessons_to_measure("validation", self._most)
        lessons = [lesson for kind in self._measured.values() for lesson in kind]
        right = iter([a.reply == b for a, b in zip(lessons, self.replies(lessons), strict=True)])
        return {
            name: sum(itertools.islice(right, len(kind))) / len(kind) for name, kind in self._measured.items()
        }

    def replies(self, lessons: Sequence[Lesson]) -> list[str]:
        """Reply to questions, greedily."""
        said: list[str] = []
        for start in range(0, len(lessons), 48):
            texts = [self.prompt(lesson) for lesson in lessons[start : start + 48]]
            read = self.tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
            ids = self.model.generate(**read.to(self.model.device), do_sample=False, max_new_tokens=_REPLY)
            said += self.tokenizer.batch_decode(ids[:, read.input_ids.shape[1] :], skip_special_tokens=True)
        return said


def planner_tokenizer(lessons: int = 8000) -> Any:
    """Learn a vocabulary from some lessons: byte pairs for words, and whole pieces of programs.

    The class is Qwen2's own: transformers loads no other beside such a model. Its chat template keeps the
    question and whether it has options, of all that it is given.
    """
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer

    texts, code = list[str](), set(_OPTIONS)
    for question, reply, reading in draw_lessons("words", lessons):
        code |= set(_CODE.findall(reply)) if reading else set()
        texts += [quoted(question.text), *_CODE.split(reply)]
    pad, _, end = _SPECIALS
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(
        texts, _WORDS, new_special_tokens=list(_SPECIALS), show_progress=False
    )
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in sorted(code)])
    tokenizer.eos_token, tokenizer.pad_token, tokenizer.padding_side = end, pad, "left"
    tokenizer.chat_template = _CHAT
    return tokenizer


def _new_model(tokenizer: Any, shape: Mapping[str, Any]) -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=len(tokenizer),
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **shape,
    )
    return Qwen2ForCausalLM(config)


def save_planner(task: PlannerTask, folder: Path) -> None:
    """Write the model and its tokenizer as `from_pretrained` reads them, in float16."""
    task.tokenizer.save_pretrained(str(folder))
    task.model.half().save_pretrained(str(folder))
    task.model.float()


def train_planner(home: Path, *, seed: int, device: str, workers: int, tell: Callable[[str], None]) -> None:
    """Train the planner, or go on with it, in `home/planner`, and write it to `home/planner/model`."""
    task = PlannerTask(seed, planner_tokenizer())
    fit(task, COURSE, home / "planner", seed=seed, device=device, workers=workers, tell=tell)
    save_planner(task, home / "planner" / "model")
