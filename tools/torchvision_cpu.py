"""Let a torchvision that was built for CUDA be imported beside a CPU build of torch.

The compiled part of such a torchvision wants CUDA libraries; without them `import torchvision` fails, and
with it every model class of transformers, open_clip and ultralytics. Declaring the two operators that the
import asks for lets its Python parts work; non-maximum suppression is then done in plain torch. Where the
compiled part loads, or there is no torchvision, nothing of this is active. It mends no other operator.
"""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

__all__ = ["mend_torchvision", "nms"]

_OPERATORS: Final = ("nms", "qnms")
_LIBRARIES: list[torch.library.Library] = []
"""A registration lives as long as its library object; not empty means mended."""


def mend_torchvision() -> bool:
    """Prepare the import of torchvision; call it before the first one, and as often as you like.

    Returns
    -------
    bool
        Whether operators were put in the place of ones that do not load.
    """
    if _LIBRARIES:
        return True
    found = PathFinder.find_spec("torchvision")
    if found is None or found.origin is None:
        return False
    import torch

    if _loads(Path(found.origin).parent):
        return False
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _OPERATORS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", nms, "CPU")
    _LIBRARIES.append(library)
    from torchvision.ops import boxes

    boxes._assert_has_ops = _nothing  # it asks for the compiled part, which is not there
    return True


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Suppress boxes that overlap a better one.

    Parameters
    ----------
    boxes
        [N, 4]: x1, y1, x2, y2.
    scores
        [N].
    iou_threshold
        A box goes if its intersection over union with a kept, better one is above this.

    Returns
    -------
    torch.Tensor
        Indices of the boxes that stay, int64, best first.
    """
    import torch

    boxes = boxes.float()
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    left = scores.argsort(descending=True, stable=True)
    kept: list[torch.Tensor] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[left, :2])
        high = torch.minimum(boxes[best, 2:], boxes[left, 2:])
        common = (high - low).clamp(min=0).prod(dim=1)
        # Not `<=`: two boxes without area overlap by 0/0, which suppresses nothing.
        left = left[~(common / (area[best] + area[left] - common) > iou_threshold)]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.long)


def _loads(folder: Path) -> bool:
    """Tell whether torchvision's compiled operators work beside this torch."""
    import torch

    try:
        for compiled in folder.glob("_C*.so"):
            torch.ops.load_library(str(compiled))
    except OSError:
        return False
    return True


def _nothing() -> None:
    """Ask for nothing."""
