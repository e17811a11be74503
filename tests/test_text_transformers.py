"""A chat model in this process, against transformers itself, on tiny random checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aotd.tools.chat_template import ChatTokens
from aotd.tools.checkpoints import Checkpoint, find_checkpoint
from aotd.tools.loading import UnusableCheckpoint, load_model
from aotd.tools.models import Message, Reply, TextRequest, ToolError
from aotd.tools.text_transformers import TransformersText
from aotd.tools.torchvision_cpu import mend_torchvision
from tests.tiny_text import ASK, CONTEXT, TEMPLATE, TURN, chat_tokenizer, save_chat

pytest.importorskip("transformers")
pytest.importorskip("torch")
# Deprecations of other packages that appear while their classes are made.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")

REFUSING = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    f"{{% endif %}}{TURN}{{% endfor %}}{ASK}"
)
DROPPING = f"{{% for m in messages %}}{{% if m['role'] != 'system' %}}{TURN}{{% endif %}}{{% endfor %}}{ASK}"
ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    f"{{{{ raise_exception('roles must alternate') }}}}{{% endif %}}{TURN}{{% endfor %}}{ASK}"
)
LONGEST = 12


def checkpoint(
    folder: Path, kind: str = "llama", template: str | None = TEMPLATE, **shape: Any
) -> Checkpoint:
    """Save a tiny model and find it as a run does."""
    mend_torchvision()
    return find_checkpoint(str(save_chat(folder, kind, template, **shape)))


def text_model(found: Checkpoint, **more: Any) -> TransformersText:
    """Make the model under test."""
    settings = {"device": "cpu", "dtype": "float32", "max_tokens": LONGEST} | more
    return TransformersText(found, **settings)


def ask(*contents: str, choices: tuple[str, ...] | None = None) -> TextRequest:
    """Ask as user, with what comes before as the system's message."""
    roles = ("system", "user")[-len(contents) :]
    messages = tuple(
        Message.model_validate({"role": r, "content": c}) for r, c in zip(roles, contents, strict=True)
    )
    return TextRequest(role="judge", messages=messages, choices=choices)


def tokens_by_hand(folder: Path, request: TextRequest) -> tuple[int, list[int]]:
    """Let transformers alone answer one request; give the prompt's length and the reply's tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    words: Any = AutoTokenizer.from_pretrained(folder)
    turns = [message.model_dump() for message in request.messages]
    asked = words.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    length = asked["input_ids"].shape[1]
    tokens = model.generate(**asked, max_new_tokens=LONGEST, do_sample=False)[0, length:]
    return length, tokens.tolist()


def by_hand(folder: Path, request: TextRequest) -> Reply:
    """Give the reply that is expected."""
    length, tokens = tokens_by_hand(folder, request)
    words = chat_tokenizer()
    return Reply(
        text=words.decode(tokens, skip_special_tokens=True),
        truncated=words.eos_token_id not in tokens,
        prompt_tokens=length,
        reply_tokens=len(tokens),
    )


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random Llama of two layers."""
    return checkpoint(tmp_path_factory.mktemp("llama"))


ASKED = [
    ask("Is the red door open?"),
    ask("You judge.", "Is it so?"),
    ask("A person takes the cup, then closes the red door. Is the door open? " * 3),
    ask("no"),
    ask("yes yes yes"),
]


def test_replies_of_a_batch_are_those_of_transformers_to_single_prompts(llama: Checkpoint) -> None:
    """Texts, token counts and cut marks of padded batches equal greedy generation, prompt by prompt."""
    expected = [by_hand(llama.folder, request) for request in ASKED]
    assert len({reply.text for reply in expected}) == len(ASKED)
    assert len({reply.prompt_tokens for reply in expected}) > 3
    assert list(text_model(llama).complete(ASKED)) == expected
    assert list(text_model(llama, prompts_at_once=2).complete(ASKED[::-1])) == expected[::-1]


def test_scores_of_a_padded_prompt_are_those_of_a_single_one(llama: Checkpoint) -> None:
    """Next-word scores of padded prompts are those of single ones to 1e-5 of their spread."""
    import torch
    from transformers import AutoModelForCausalLM

    chat, model = ChatTokens(llama), load_model(AutoModelForCausalLM, llama, "float32", "cpu")
    prompts = [chat.prompt(request.messages) for request in ASKED]
    width = max(map(len, prompts))
    padded = torch.tensor([[chat.pad] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    settings = {
        "max_new_tokens": 1,
        "do_sample": False,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    (together,) = model.generate(input_ids=padded, attention_mask=mask, **settings).logits
    for prompt, scores in zip(prompts, together, strict=True):
        (alone,) = model.generate(input_ids=torch.tensor([prompt]), **settings).logits
        assert (scores - alone[0]).abs().max() < 1e-5 * alone.std()


def test_a_reply_ends_at_any_token_that_the_checkpoint_names(tmp_path: Path) -> None:
    """The tokenizer's end and those of the generation settings end a reply; they are counted, not shown."""
    found = checkpoint(tmp_path)
    _, tokens = tokens_by_hand(tmp_path, ASKED[0])
    words = chat_tokenizer()
    assert words.eos_token_id not in tokens
    settings = tmp_path / "generation_config.json"
    named = {"eos_token_id": tokens[3], "do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | named))
    (reply,) = text_model(found).complete([ASKED[0]])
    first = tokens.index(tokens[3])
    assert isinstance(reply, Reply)
    assert (reply.text, reply.truncated) == (words.decode(tokens[:first]), False)
    assert reply.reply_tokens == first + 1


def test_choices_hold_a_reply(llama: Checkpoint) -> None:
    """A reply is one of the choices, whatever the model would say, also where one begins another."""
    model = text_model(llama)
    free = model.complete([ASKED[0]])[0]
    choices = ("yes", "yes, the red door", "no", "A")
    held = model.complete(
        [ASKED[0], *[ask(f"{r.messages[0].content}!", choices=choices) for r in ASKED], ASKED[3]]
    )
    assert held[0] == free
    replies = [reply for reply in held[1:-1] if isinstance(reply, Reply)]
    assert len(replies) == len(ASKED)
    assert all(reply.text in choices and not reply.truncated for reply in replies)
    words = chat_tokenizer()
    assert all(r.reply_tokens == len(words(r.text)["input_ids"]) + 1 for r in replies)


def test_the_likelier_of_two_choices_of_one_token_is_taken(llama: Checkpoint) -> None:
    """Between single tokens the model's own scores decide."""
    import torch
    from transformers import AutoModelForCausalLM

    words = chat_tokenizer()
    scores_of: Any = AutoModelForCausalLM.from_pretrained(llama.folder).eval()
    letters = ("A", "B", "C", "D")
    taken = set()
    for request in ASKED:
        prompt = words.apply_chat_template(
            [m.model_dump() for m in request.messages],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.no_grad():
            scores = scores_of(**prompt).logits[0, -1]
        likeliest = max(letters, key=lambda letter: float(scores[words(letter)["input_ids"][0]]))
        (reply,) = text_model(llama).complete([request.model_copy(update={"choices": letters})])
        assert isinstance(reply, Reply)
        assert reply.text == likeliest
        taken.add(likeliest)
    assert len(taken) > 1


@pytest.mark.parametrize("template", [REFUSING, DROPPING], ids=["refusing", "dropping"])
def test_a_template_without_a_system_role_gets_it_in_the_first_user_message(
    template: str, tmp_path: Path
) -> None:
    """What the system says is at the head of the user's words, whether the template refuses or drops it."""
    model = text_model(checkpoint(tmp_path, template=template))
    assert model.complete([ask("Be brief.", "Is it so?")]) == model.complete([ask("Be brief.\n\nIs it so?")])


def test_what_a_template_refuses_altogether_is_the_requests_own_error(tmp_path: Path) -> None:
    """Messages out of turn are an error in the template's words, and the other requests are answered."""
    model = text_model(checkpoint(tmp_path, template=ALTERNATING))
    twice = tuple(Message(role="user", content=text) for text in ("a", "b"))
    refused, answered = model.complete(
        [TextRequest(role="judge", messages=twice), ask("Be brief.", "Is it so?")]
    )
    assert isinstance(refused, ToolError)
    assert (refused.kind, refused.retryable) == ("bad-request", False)
    assert "roles must alternate" in refused.message
    assert isinstance(answered, Reply)


def test_a_checkpoint_without_a_chat_template_is_told_by_name(tmp_path: Path) -> None:
    """A base model is no chat model; the error is one line that names it."""
    model = text_model(checkpoint(tmp_path, template=None))
    with pytest.raises(
        UnusableCheckpoint, match=rf"checkpoint {tmp_path.name} has no chat template.*Instruct"
    ) as told:
        model.complete([ASKED[0]])
    assert "\n" not in str(told.value)


def test_a_prompt_that_does_not_fit_is_an_error_with_numbers(llama: Checkpoint) -> None:
    """One token too many is refused, one less is answered; nothing is cut."""
    model = text_model(llama)
    nothing = [{"role": "user", "content": ""}]
    around = chat_tokenizer().apply_chat_template(nothing, add_generation_prompt=True)["input_ids"]
    room = CONTEXT - LONGEST - len(around)
    whole, cut, answered = model.complete([ask("#" * room), ask("#" * (room + 1)), ASKED[0]])
    assert isinstance(whole, Reply)
    assert whole.prompt_tokens == CONTEXT - LONGEST
    asked = f"a prompt of {CONTEXT - LONGEST + 1} tokens and a reply of up to {LONGEST}"
    told = f"{asked} do not fit into the model's context of {CONTEXT}"
    assert cut == ToolError(kind="too-long", message=told)
    assert isinstance(answered, Reply)


def test_a_model_that_takes_no_mask_is_not_padded(tmp_path: Path) -> None:
    """An RWKV gives a batch of unequal prompts the replies of single ones."""
    found = checkpoint(tmp_path, "rwkv", attention_hidden_size=64, context_length=CONTEXT)
    expected = [by_hand(tmp_path, request) for request in ASKED]
    assert list(text_model(found).complete(ASKED)) == expected


def test_shared_weights_are_loaded_once_and_limits_are_apart(llama: Checkpoint) -> None:
    """A model with other limits shares the weights and differs in identity by what changes replies only."""
    model = text_model(llama)
    brief = model.sharing(max_tokens=3, prompts_at_once=1)
    (long,), (short,) = model.complete([ASKED[0]]), brief.complete([ASKED[0]])
    assert isinstance(long, Reply)
    assert isinstance(short, Reply)
    assert (long.reply_tokens, short.reply_tokens) == (LONGEST, 3)
    assert long.text.startswith(short.text)
    assert model._weights.load().model is brief._weights.load().model
    assert brief.identity.key != model.identity.key
    assert model.sharing(max_tokens=LONGEST, prompts_at_once=1).identity == model.identity
    assert model.identity.id == f"transformers/{llama.id}"
    assert (model.identity.revision, model.identity.dtype) == (llama.revision, "float32")
    assert text_model(llama, dtype="bfloat16").identity.key != model.identity.key
