"""Tests of the UniVTG network: its numbers against references, and what becomes of checkpoints."""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.univtg import UniVtgModel, load_univtg, sine_positions, unit_rows, with_ends

HEADS = 8
NUMBERS = NDArray[np.float64]


def made_by_rule(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Make weights from their names alone, as the reference values were made."""
    made = {}
    for name, shape in shapes.items():
        seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
        numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        if "norm" in name.lower() and name.endswith("weight"):
            made[name] = 1 + 0.1 * numbers
        elif name.endswith("bias"):
            made[name] = 0.1 * numbers
        elif name.startswith("weightedpool") or "embeddings" in name:
            made[name] = 0.2 * numbers
        else:
            made[name] = numbers * 1.5 / math.sqrt(math.prod(shape[1:]))
    return made


def shapes_of(net: UniVtgModel) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights."""
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def on_meta(video_width: int) -> UniVtgModel:
    """Lay out a network of the published size without memory for it."""
    with torch.device("meta"):
        return UniVtgModel(width=1024, inner=1024, video_width=video_width, text_width=512).eval()


def tiny() -> UniVtgModel:
    """Make a small network whose every dimension differs, with weights by rule."""
    net = UniVtgModel(width=32, inner=24, video_width=14, text_width=10, layers=2, words=7)
    net.load_state_dict(made_by_rule(shapes_of(net)))
    return net.eval()


class Reference:
    """UniVTG's forward pass once more, in numpy and double precision, for one unpadded or padded sample."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.w = {name: tensor.double().numpy() for name, tensor in state.items()}
        self.width = len(self.w["token_type_embeddings.weight"][0])

    def norm(self, x: NUMBERS, name: str) -> NUMBERS:
        """Normalise rows."""
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def linear(self, x: NUMBERS, name: str) -> NUMBERS:
        """Map rows."""
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def project(self, x: NUMBERS, name: str) -> NUMBERS:
        """Bring an input to the hidden width."""
        x = np.maximum(self.linear(self.norm(x, f"{name}.0.LayerNorm"), f"{name}.0.net.1"), 0)
        return self.linear(self.norm(x, f"{name}.1.LayerNorm"), f"{name}.1.net.1")

    def positions(self, mask: NUMBERS) -> NUMBERS:
        """Sine codes, channel by channel."""
        place = np.cumsum(mask)
        place = place / (place[-1] + 1e-6) * 2 * np.pi
        codes = np.empty((len(mask), self.width))
        for channel in range(self.width):
            angle = place / 10000 ** (2 * (channel // 2) / self.width)
            codes[:, channel] = np.cos(angle) if channel % 2 else np.sin(angle)
        return codes

    def attend(self, placed: NUMBERS, x: NUMBERS, valid: NUMBERS, name: str) -> NUMBERS:
        """Attention head by head, over valid keys."""
        weights = np.split(self.w[f"{name}.in_proj_weight"], 3)
        biases = np.split(self.w[f"{name}.in_proj_bias"], 3)
        q, k, v = (
            given @ weight.T + bias
            for given, weight, bias in zip((placed, placed, x), weights, biases, strict=True)
        )
        heads = []
        for part in np.split(np.arange(self.width), HEADS):
            logits = q[:, part] @ k[:, part].T / math.sqrt(len(part))
            shares = np.exp(logits - logits.max()) * valid
            heads.append(shares / shares.sum(-1, keepdims=True) @ v[:, part])
        return self.linear(np.concatenate(heads, axis=1), f"{name}.out_proj")

    def convolve(self, x: NUMBERS, name: str) -> NUMBERS:
        """Three convolutions, each as a sum over three shifted copies."""
        for layer in range(3):
            kernel, bias = self.w[f"{name}.layers.{layer}.weight"], self.w[f"{name}.layers.{layer}.bias"]
            padded = np.pad(np.maximum(x, 0) if layer else x, ((1, 1), (0, 0)))
            x = sum(padded[k : k + len(x)] @ kernel[:, :, k].T for k in range(3)) + bias
        return 1 / (1 + np.exp(-x))

    def __call__(self, video: NUMBERS, text: NUMBERS, seen: NUMBERS, read: NUMBERS) -> list[NUMBERS]:
        """Give scores, spans and saliency."""
        of_text, of_video = self.w["token_type_embeddings.weight"]
        v, t = (
            self.project(video, "input_vid_proj") + of_video,
            self.project(text, "input_txt_proj") + of_text,
        )
        x, valid = np.concatenate([v, t]), np.concatenate([seen, read])
        codes = np.concatenate([self.positions(seen), np.zeros_like(t)])
        for layer in range(2):
            name = f"transformer.encoder.layers.{layer}"
            x = self.norm(x + self.attend(x + codes, x, valid, f"{name}.self_attn"), f"{name}.norm1")
            inner = self.linear(x, f"{name}.linear1")
            gelu = inner * (1 + np.vectorize(math.erf)(inner / math.sqrt(2))) / 2
            x = self.norm(x + self.linear(gelu, f"{name}.linear2"), f"{name}.norm2")
        memory = x[: len(video)]
        shares = np.exp(t @ self.w["weightedpool.weight"]) * read[:, None]
        pooled = (shares / shares.sum() * t).sum(0)
        cosine = v @ pooled / np.linalg.norm(v, axis=1) / np.linalg.norm(pooled)
        spans = self.convolve(memory, "span_embed") * [-1, 1]
        return [self.convolve(memory, "class_embed")[:, 0], spans, cosine]


def inputs(net: UniVtgModel, frames: int, words: int) -> tuple[Tensor, Tensor]:
    """Draw features of a clip and a text."""
    drawn = np.random.default_rng(3)
    video = drawn.standard_normal((1, frames, net.video_width), dtype=np.float32)
    text = drawn.standard_normal((1, words, net.text_width), dtype=np.float32)
    return torch.from_numpy(video), torch.from_numpy(text)


@pytest.mark.parametrize("padding", [0, 3])
def test_the_network_agrees_with_a_rewrite_in_numpy(padding: int) -> None:
    """Scores, spans and saliency equal those of a second writing of the model's definition."""
    net = tiny()
    video, text = inputs(net, 9, 5)
    seen, read = torch.ones(1, 9), torch.ones(1, 5)
    seen[:, 9 - padding :] = 0
    read[:, 5 - padding :] = 0
    with torch.no_grad():
        ours = net(video, text, seen, read)
    theirs = Reference(net.state_dict())(
        *(tensor[0].double().numpy() for tensor in (video, text, seen, read))
    )
    assert np.abs(ours.scores[0].numpy() - theirs[0]).max() < 2e-6
    assert np.abs(ours.spans[0].numpy() - theirs[1]).max() < 2e-6
    valid = 9 - padding
    assert np.abs(ours.saliency[0, :valid].numpy() - theirs[2][:valid]).max() < 2e-6
    assert (ours.saliency[0, valid:] < -100).all()


def test_two_frames_stand_half_a_turn_apart() -> None:
    """Position codes follow the hand-worked sine table: half a turn and a whole one, the first valid at 1."""
    codes = sine_positions(torch.tensor([[1.0, 1.0, 0.0]]), 2)[0]
    assert torch.allclose(codes[:2], torch.tensor([[0.0, -1.0], [0.0, 1.0]]), atol=1e-5)


def test_features_become_unit_rows_with_their_ends() -> None:
    """Rows are scaled by length + 1e-5, then told where their frame starts and ends."""
    rows = with_ends(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert torch.allclose(rows, torch.tensor([[0.6, 0.8, 0.0, 0.5], [0.0, 0.0, 0.5, 1.0]]), atol=2e-6)


def test_padded_words_have_no_influence() -> None:
    """A text padded for a batch gives what it gives alone."""
    net = tiny()
    video, text = inputs(net, 9, 5)
    with torch.no_grad():
        alone = net(video, text[:, :2])
        padded = net(video, text, text_mask=torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0]]))
    assert torch.allclose(alone.spans, padded.spans, atol=1e-6)
    assert torch.allclose(alone.scores, padded.scores, atol=1e-6)


def test_every_weight_but_the_unused_table_learns() -> None:
    """Gradients reach all weights that the forward pass uses, in training as published."""
    net = tiny().train()
    video, text = inputs(net, 9, 5)
    out = net(video, text)
    (out.scores.sum() + out.spans.sum() + out.saliency.sum()).backward()
    idle = {name for name, weight in net.named_parameters() if weight.grad is None}
    assert idle == {name for name in net.state_dict() if name.startswith("txt_position_embed")}


def test_dropout_is_for_training_alone() -> None:
    """Two passes differ in training and are equal in use; a skipped branch leaves the residual."""
    net = tiny()
    video, text = inputs(net, 9, 5)
    torch.manual_seed(0)
    assert torch.equal(net(video, text).scores, net(video, text).scores)
    net.train()
    assert not torch.equal(net(video, text).scores, net(video, text).scores)
    calm = UniVtgModel(
        width=32, inner=24, video_width=14, text_width=10, layers=2, words=7, input_dropout=0, drop_path=0
    )
    calm.load_state_dict(net.state_dict())
    assert torch.allclose(calm.train()(video, text).scores, net.eval()(video, text).scores, atol=1e-6)


# The published shape


@pytest.fixture(scope="module")
def parity(data: Path) -> Path:
    """Folder of values that the authors' code gave for made weights."""
    folder = data.parent / "spec" / "univtg_parity"
    if not (folder / "small.pt").is_file():
        pytest.skip("no reference values of UniVTG beside the data")
    return folder


@pytest.fixture(scope="module")
def reference(parity: Path) -> Any:
    """Load inputs and outputs of the small case."""
    return torch.load(parity / "small.pt", weights_only=True)["cases"]


@pytest.mark.parametrize("case", ["single", "padded"])
def test_the_network_gives_the_authors_numbers(parity: Path, reference: Any, case: str) -> None:
    """On their checkpoint and inputs, everything down to the memory equals what their code gave."""
    net = load_univtg(parity / "small_ckpt.pt")
    inside: list[Tensor] = []
    net.transformer["encoder"].register_forward_hook(
        lambda _, given, memory: inside.extend((given[1], memory))
    )
    given, wanted = reference[case]["inp"], reference[case]["out"]
    with torch.no_grad():
        out = net(given["src_vid"], given["src_txt"], given.get("src_vid_mask"), given.get("src_txt_mask"))
    pairs = [
        (out.scores, wanted["pred_logits"][..., 0], 2e-6),
        (out.spans, wanted["pred_spans"], 2e-6),
        (out.saliency, wanted["saliency_scores"], 1e-5),
        (out.video, wanted["vid_mem_proj"], 5e-6),
        (out.text, wanted["txt_mem_proj"], 5e-6),
        (inside[0], wanted["pos"], 5e-6),
        (inside[1], wanted["memory"], 5e-6),
    ]
    for ours, theirs, near in pairs:
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= near


def test_inputs_are_prepared_as_the_authors_do(parity: Path) -> None:
    """Unit rows and ends equal what their loader made of the raw features."""
    small = torch.load(parity / "small.pt", weights_only=True)
    given = small["cases"]["single"]["inp"]
    assert (with_ends(small["raw_video"][0]) - given["src_vid"][0]).abs().max() < 1e-6
    assert (unit_rows(small["raw_text"][0]) - given["src_txt"][0]).abs().max() < 1e-6


def test_the_sine_table_is_the_authors(parity: Path) -> None:
    """Position codes of 5 frames in 64 channels equal theirs."""
    table = torch.load(parity / "pos_sine_L5_d64.pt", weights_only=True)
    assert torch.allclose(sine_positions(torch.ones(1, 5), 64), table, atol=1e-6)


def test_the_published_checkpoint_would_load(data: Path) -> None:
    """Names and shapes of the full size are those of the authors' model, 41,042,951 numbers in all."""
    listed = data.parent / "spec" / "univtg_state_dict.txt"
    if not listed.is_file():
        pytest.skip("no list of UniVTG's weights beside the data")
    rows = [line.split("\t") for line in listed.read_text("utf-8").splitlines() if line[:1] not in "#"]
    wanted = {name: tuple(int(n) for n in shape.strip("()").split(",") if n) for name, shape in rows}
    ours = shapes_of(on_meta(514))
    assert ours == wanted
    assert sum(map(math.prod, ours.values())) == 41_042_951
    assert sum(map(math.prod, shapes_of(on_meta(2818)).values())) == 43_406_855


def test_full_size_networks_give_the_authors_numbers() -> None:
    """With weights and inputs made by rule, the first scores and the best window are the authors'."""
    for video_width, scores in ((514, [0.49198, 0.41862, 0.43492, 0.58464]), (2818, [])):
        net = on_meta(video_width)
        net.load_state_dict(made_by_rule(shapes_of(net)), assign=True)
        drawn = np.random.default_rng(20250701)
        video = torch.from_numpy(drawn.standard_normal((32, video_width - 2)).astype(np.float32))
        text = torch.from_numpy(drawn.standard_normal((9, 512)).astype(np.float32))
        with torch.inference_mode():
            out = net(with_ends(video)[None], unit_rows(text)[None])
        assert [tuple(part.shape[1:]) for part in out] == [(32,), (32, 2), (32,), (32, 1024), (1, 1024)]
        assert out.scores[0, : len(scores)].tolist() == pytest.approx(scores, abs=1e-5)
        if scores:
            best = int(out.scores[0].argmax())
            window = (out.spans[0, best] + (best + 1) / 32) * 64
            assert window.tolist() == pytest.approx([4.904, 72.244], abs=6e-4)


# Checkpoints


def written(folder: Path, state: dict[str, Tensor], **more: object) -> Path:
    """Write a checkpoint as training does: prefixed names under `model`, options beside them."""
    file = folder / "model_best.ckpt"
    torch.save({"model": {f"module.{name}": t for name, t in state.items()}, **more}, file)
    return file


def test_a_checkpoint_loads_with_its_sizes(tmp_path: Path) -> None:
    """A published file with its options, and plain safetensors, give the network that was saved."""
    net = tiny()
    options = argparse.Namespace(hidden_dim=32, train_path=["x"])
    published = load_univtg(written(tmp_path, net.state_dict(), epoch=14, opt=options))
    save_file(net.state_dict(), tmp_path / "univtg.safetensors")
    plain = load_univtg(tmp_path / "univtg.safetensors")
    for loaded in (published, plain):
        assert not loaded.training
        assert shapes_of(loaded) == shapes_of(net)
        assert all(
            torch.equal(tensor, net.state_dict()[name]) for name, tensor in loaded.state_dict().items()
        )


def refusal(file: Path, heads: int = 8) -> str:
    """Say how a file is refused, in one line that names it."""
    with pytest.raises(UnusableCheckpoint) as refused:
        load_univtg(file, heads=heads)
    told = str(refused.value)
    assert "\n" not in told
    assert str(file) in told
    return told


def test_a_wrong_checkpoint_is_told_by_its_weights(tmp_path: Path) -> None:
    """Missing, foreign and misshapen weights are named, and what is not UniVTG at all."""
    state = tiny().state_dict()
    lacking = {name: t for name, t in state.items() if name != "span_embed.layers.1.bias"}
    assert "lacks span_embed.layers.1.bias" in refusal(written(tmp_path, lacking))
    besides = {**state, "transformer.encoder.norm.weight": torch.ones(32)}
    assert "has besides transformer.encoder.norm.weight" in refusal(written(tmp_path, besides))
    shapes = {**state, "weightedpool.weight": torch.ones(31, 1)}
    assert "has other shapes for weightedpool.weight" in refusal(written(tmp_path, shapes))
    flat = {**state, "input_vid_proj.0.net.1.weight": torch.ones(32)}
    assert "has other shapes for input_vid_proj.0.net.1.weight" in refusal(written(tmp_path, flat))
    both = {name: t for name, t in besides.items() if "norm1" not in name}
    told = refusal(written(tmp_path, both))
    assert "lacks transformer.encoder.layers.0.norm1.weight" in told
    assert "besides transformer.encoder.norm.weight" in told
    assert "lacks" in refusal(written(tmp_path, {"conv1.weight": torch.ones(2)}))
    assert "multiple of 5 heads" in refusal(written(tmp_path, state), heads=5)


class Trap:
    """An object whose pickle would write a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        """Ask the reader to run code."""
        return Path.touch, (self.file,)


def test_no_code_of_a_checkpoint_is_run(tmp_path: Path) -> None:
    """A pickle that would run code is refused and does not run."""
    file = written(tmp_path, tiny().state_dict(), opt=Trap(tmp_path / "ran"))
    assert "does not load" in refusal(file)
    assert not (tmp_path / "ran").exists()


def broken(folder: Path) -> Iterator[Path]:
    """Write files that are no checkpoints."""
    whole = written(folder, tiny().state_dict()).read_bytes()
    for name, content in (
        ("empty.ckpt", b""),
        ("text.ckpt", b"see other/model_best.ckpt"),
        ("page.ckpt", b"<!DOCTYPE html><html>quota exceeded</html>"),
        ("cut.ckpt", whole[: len(whole) // 2]),
        ("text.safetensors", b"not at all"),
    ):
        file = folder / name
        file.write_bytes(content)
        yield file
    for name, value in (("list.ckpt", [torch.ones(2)]), ("number.ckpt", {"model": 3})):
        torch.save(value, folder / name)
        yield folder / name


def test_what_is_no_checkpoint_is_told(tmp_path: Path) -> None:
    """Empty, cut and foreign files are refused in one line that names the file."""
    told = [refusal(file) for file in broken(tmp_path)]
    assert all("does not load" in line for line in told[:5])
    assert all("lacks" in line for line in told[5:])
    assert all(before != after for before, after in pairwise(told))
