"""Load a transformers model from a checkpoint: explicit dtype and device, nothing missing, no code run.

Weights come from safetensors, or from a pickle that is read as tensors only. A folder marked as random gets
made-up weights of the true shapes. Knows no particular model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.torchvision_cpu import mend_torchvision

if TYPE_CHECKING:
    import torch

__all__ = ["UnusableCheckpoint", "load_model", "load_part", "torch_device", "torch_dtype"]

_NAMED: Final = 5
"""Weights that an error names before it says how many more."""


class UnusableCheckpoint(ValueError):
    """A checkpoint that cannot be loaded; names it, what is wrong, and the mend."""


def torch_dtype(name: str) -> torch.dtype:
    """Give torch's dtype of a configured name."""
    import torch

    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return dtypes[name]


def torch_device(name: str) -> torch.device:
    """Give a device that is there.

    Raises
    ------
    UnusableCheckpoint
        If this machine has no such device.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise UnusableCheckpoint(f"device {name!r} is none: write cuda:0, mps or cpu") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, False):
        raise UnusableCheckpoint(f"device {name} is not here: set device=cpu, or the model's own device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UnusableCheckpoint(f"device {name} is not here: there are {torch.cuda.device_count()} GPUs")
    return device


def load_model(auto: Any, checkpoint: Checkpoint, dtype: str, device: str) -> Any:
    """Load a model for inference.

    Parameters
    ----------
    auto
        The transformers class whose `from_pretrained` loads it, such as AutoModelForCausalLM.
    checkpoint
        Where it lies.
    dtype, device
        Such as `bfloat16` and `cuda:0`.

    Raises
    ------
    UnusableCheckpoint
        If weights are missing or do not fit, or the folder is of another kind of model.
    """
    mend_torchvision()
    from transformers.utils import logging

    logging.disable_progress_bar()  # the run has its own
    place, kind = torch_device(device), torch_dtype(dtype)
    if checkpoint.seed is not None:
        return _made_up(auto, checkpoint, kind, place)
    try:
        model, found = auto.from_pretrained(
            str(checkpoint.folder), dtype=kind, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unusable(checkpoint, error) from None
    missing = sorted(str(key) for key in found.get("missing_keys", ()))
    misfits = sorted(str(entry) for entry in found.get("mismatched_keys", ()))
    for what, keys in (("lacks", missing), ("has other shapes for", misfits)):
        if keys:
            more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
            raise UnusableCheckpoint(
                f"checkpoint {checkpoint.id} ({checkpoint.folder}) {what} {', '.join(keys[:_NAMED])}{more}: "
                f"it is not a whole {type(model).__name__}"
            )
    return model.to(place).eval()


def load_part(auto: Any, checkpoint: Checkpoint) -> Any:
    """Load a processor or tokenizer; errors as `load_model`."""
    mend_torchvision()
    try:
        return auto.from_pretrained(str(checkpoint.folder), local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError, TypeError) as error:
        raise _unusable(checkpoint, error) from None


def _made_up(auto: Any, checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> Any:
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(checkpoint.folder), local_files_only=True)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.device(device):
        torch.manual_seed(checkpoint.seed or 0)
        build = auto.from_config if hasattr(auto, "from_config") else auto._from_config
        return build(config, dtype=dtype).to(device).eval()


def _unusable(checkpoint: Checkpoint, error: Exception) -> UnusableCheckpoint:
    told = " ".join(str(error).split())[:300]
    return UnusableCheckpoint(
        f"checkpoint {checkpoint.id} ({checkpoint.folder}) does not load: {type(error).__name__}: {told}"
    )
