"""Read the weights of an ultralytics checkpoint without running anything that the file says.

Such a file is a pickle of whole Python objects, and unpickling it as its library does runs whatever it asks
for. Here torch reads it as tensors and plain data only (`weights_only`), and every class that it names is
given an empty shell, so no class of any library is made, called or even imported. What remains is the name
of the architecture and the tensors; building the model is `aotd.tools.yolo_world`. Reads a file of bare
tensors as well, `.pt` or `.safetensors`, which has to be named after its architecture.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aotd.tools.loading import UnusableCheckpoint

if TYPE_CHECKING:
    import torch

__all__ = ["Architecture", "YoloWeights", "read_weights"]

_NAMED: Final = re.compile(r"yolov8([nsmlx])-(world(?:v2)?)")


class Architecture(NamedTuple):
    """One of the published sizes of YOLO-World."""

    scale: str
    """n, s, m, l or x."""
    version: str
    """`world` or `worldv2`."""

    def __str__(self) -> str:
        return f"yolov8{self.scale}-{self.version}"


class YoloWeights(NamedTuple):
    """What a checkpoint holds."""

    architecture: Architecture
    tensors: dict[str, torch.Tensor]
    """By name, as `state_dict` has them."""


class _Shell:
    """Stands for an object of any class: takes what the file gives it and does nothing."""

    state: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *_: object) -> None:
        """Take whatever the file calls its class with."""

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, Mapping) else {}


def read_weights(file: Path) -> YoloWeights:
    """Read a checkpoint.

    Raises
    ------
    UnusableCheckpoint
        If it is no such file, or its architecture cannot be told; names the mend.
    """
    held = _load(file)
    model = (held.get("ema") or held.get("model")) if isinstance(held, Mapping) else held
    try:
        if isinstance(model, _Shell):
            made_of = model.state.get("yaml")
            named = made_of.get("yaml_file") if isinstance(made_of, Mapping) else None
            tensors = {n: t for n, t in _tensors(model, "") if n.startswith("model.")}
        else:
            named = None
            tensors = _bare(model if isinstance(model, Mapping) else held)
    except (AttributeError, RecursionError, TypeError) as error:
        raise _unusable(file, f"is built unlike a model ({type(error).__name__})") from None
    if not tensors:
        raise _unusable(file, "holds no tensors of a model")
    return YoloWeights(_architecture(file, named), tensors)


def _load(file: Path) -> Any:
    import torch

    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(file))
        named = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
        with torch.serialization.safe_globals([(_Shell, name) for name in named]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, TypeError) as error:
        why = " ".join(str(error).split())[:160]
        raise _unusable(file, f"cannot be read as plain tensors ({type(error).__name__}: {why})") from None


def _tensors(shell: _Shell, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """List a module's tensors and those of its parts, as its `state_dict` would."""
    import torch

    state = shell.state
    passing = state.get("_non_persistent_buffers_set", ())
    for name, held in {**state.get("_parameters", {}), **state.get("_buffers", {})}.items():
        if isinstance(held, torch.Tensor) and name not in passing:
            yield f"{prefix}{name}", held.detach()
    for name, part in state.get("_modules", {}).items():
        if isinstance(part, _Shell):
            yield from _tensors(part, f"{prefix}{name}.")


def _bare(held: Any) -> dict[str, torch.Tensor]:
    import torch

    return {str(n): t for n, t in held.items() if isinstance(t, torch.Tensor)}


def _architecture(file: Path, named: object) -> Architecture:
    for said in (PurePath(str(named)).stem, file.stem):
        match = _NAMED.fullmatch(said)
        if match is not None:
            return Architecture(match[1], match[2])
    raise _unusable(file, f"says {named!r} of its architecture", "name the file such as yolov8x-worldv2.pt")


def _unusable(file: Path, what: str, mend: str = "") -> UnusableCheckpoint:
    mend = mend or "give YOLO-World weights as ultralytics publishes them, such as yolov8x-worldv2.pt"
    return UnusableCheckpoint(f"weights {file}: the file {what}; {mend}")
