"""Tests of the stand-in for torchvision's compiled operators."""

from __future__ import annotations

import math
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aotd.tools.torchvision_cpu import mend_torchvision, nms

Box = tuple[int, int, int, int]


def overlap(a: Box, b: Box) -> float:
    """Divide the pixels that two boxes share by those that either covers, counting them one by one."""
    cells = [{(x, y) for x in range(c[0], c[2]) for y in range(c[1], c[3])} for c in (a, b)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def greedy(boxes: Sequence[Box], scores: Sequence[float], threshold: float) -> list[int]:
    """Take boxes best first, each unless it overlaps one that was taken by more than the threshold."""
    kept: list[int] = []
    for place in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[place], boxes[other]) <= threshold for other in kept):
            kept.append(place)
    return kept


def test_boxes_by_hand() -> None:
    """Half of a box's width aside leaves a third in common; what overlaps by just the threshold stays."""
    boxes = torch.tensor([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 9]]).float()
    scores = torch.tensor([0.8, 0.9, 0.1, 0.7])
    assert nms(boxes, scores, 0.5).tolist() == [1, 0, 2]  # the last one lies in the first by nine tenths
    assert nms(boxes, scores, 0.9).tolist() == [1, 0, 3, 2]
    assert nms(boxes, scores, 0.32).tolist() == [1, 3, 2]  # 50 of 150 is too much, 45 of 145 is not
    assert nms(boxes, scores, 0.3).tolist() == [1, 2]
    assert nms(boxes[:0], scores[:0], 0.5).tolist() == []


corners = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 5), st.integers(1, 5)).map(
    lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3])
)


@given(
    boxes=st.lists(corners, min_size=1, max_size=9),
    order=st.randoms(use_true_random=False),
    threshold=st.integers(1, 999).map(lambda n: n / 1000 + math.pi * 1e-6),
)
def test_any_boxes(boxes: list[Box], order: object, threshold: float) -> None:
    """For any boxes and scores what stays is what counting pixels says, best first."""
    scores = [(place + 1) / 16 for place in range(len(boxes))]
    order.shuffle(scores)  # type: ignore[attr-defined]
    kept = nms(torch.tensor(boxes), torch.tensor(scores), threshold)
    assert kept.dtype == torch.int64
    assert kept.tolist() == greedy(boxes, scores, threshold)


def test_torchvision_works_beside_this_torch() -> None:
    """After the mending torchvision's own functions suppress boxes; mending again does no harm."""
    first = mend_torchvision()
    assert mend_torchvision() == first
    from torchvision.ops import batched_nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    kept = batched_nms(boxes, torch.tensor([0.5, 0.9, 0.7]), torch.tensor([0, 0, 1]), 0.5)
    assert kept.tolist() == [1, 2]


PROBE = """
    import sys
    import torch
    from aotd.tools.torchvision_cpu import mend_torchvision
    PREPARE
    mended = [mend_torchvision() for _ in range(2)]
    declared = hasattr(torch.ops.torchvision, "nms")
    if mended[0]:
        from torchvision.ops import boxes
        boxes._assert_has_ops()
    print(*mended, declared)
"""


SHOW = "sys.path.insert(0, sys.argv[1])"
HIDE = "sys.path[:] = [p for p in sys.path if not __import__('pathlib').Path(p, 'torchvision').exists()]"


@pytest.mark.parametrize("compiled", ["loads", "does not load", "none", "no package"])
def test_it_is_active_only_where_it_is_needed(tmp_path: Path, compiled: str) -> None:
    """Operators are declared if torchvision's own do not load, and left alone in every other case."""
    package = tmp_path / "torchvision"
    if compiled != "no package":
        (package / "ops").mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "ops" / "__init__.py").touch()
        refuses = "def _assert_has_ops():\n    raise RuntimeError('no operators')\n"
        (package / "ops" / "boxes.py").write_text(refuses)
    if compiled == "loads":
        whole = next(Path(sysconfig.get_config_var("DESTSHARED")).glob("*.so"))
        (package / "_C.so").write_bytes(whole.read_bytes())
    elif compiled == "does not load":
        (package / "_C.so").write_text("wants CUDA")
    code = textwrap.dedent(PROBE).replace("PREPARE", HIDE if compiled == "no package" else SHOW)
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    needed = str(compiled == "does not load")
    assert ran.stdout.split() == [needed] * 3
