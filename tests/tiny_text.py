"""Tiny language models and sentence encoders with random weights, their real tokenizers and chat templates.

For tests of whatever runs such models; knows nothing of the project.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any, Final

__all__ = ["ASK", "CONTEXT", "TEMPLATE", "TURN", "chat_tokenizer", "save_chat", "save_encoder"]

TURN: Final = "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
ASK: Final = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TEMPLATE: Final = f"{{% for m in messages %}}{TURN}{{% endfor %}}{ASK}"
CONTEXT: Final = 256


def chat_tokenizer(template: str | None = TEMPLATE) -> Any:
    """Learn a small byte-level vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["Is the red door open? yes no", "A person takes the cup."] * 9, trainer)
    ends = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=template, **ends)


def save_chat(
    folder: Path, kind: str = "llama", template: str | None = TEMPLATE, *, seed: int = 0, **shape: Any
) -> Path:
    """Save a random chat model of a kind; its weights are large enough that prompts decide replies."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = chat_tokenizer(template)
    numbers: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    if kind != "rwkv":
        numbers |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT}
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        initializer_range=0.3,
        **{**numbers, **shape},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_encoder(folder: Path, kind: str = "xlm-roberta", *, positions: int = 66) -> Path:
    """Save a random encoder of sentences: XLM-R with its unigram tokenizer, or BERT with its word pieces."""
    import torch
    from transformers import AutoConfig, AutoModel, BertTokenizer, XLMRobertaTokenizer

    letters = [*string.ascii_letters, *string.digits, *".,'?"]
    words = ["door", "box", "the", "opened"]
    tokenizer: Any
    if kind == "bert":
        marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        pieces = [*marks, *words, *letters, *(f"##{letter}" for letter in letters)]
        tokenizer = BertTokenizer(vocab={piece: place for place, piece in enumerate(pieces)})
    else:
        scored = [*((f"▁{word}", -1.0) for word in words), ("▁", -2.0), *((x, -3.0) for x in letters)]
        marks = ["<s>", "<pad>", "</s>", "<unk>"]
        tokenizer = XLMRobertaTokenizer(vocab=[*((m, 0.0) for m in marks), *scored, ("<mask>", 0.0)])
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = AutoModel.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
