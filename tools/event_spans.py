"""From probabilities of frames to events in time: what was done, from which frame to which, and how sure.

An action is taken to happen once in a clip at most: of several stretches the strongest counts. Runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

__all__ = ["SeenEvent", "find_events", "smoothed"]

_BLUR: Final = 0.15
"""Seconds: standard deviation of the bell over which probabilities are averaged."""
_PAUSE: Final = 0.6
"""Seconds that an event may seem to stop and go on."""
_EDGE: Final = 0.4
"""Least probability of an event's frames, in parts of its surest one's."""


class SeenEvent(NamedTuple):
    """One thing that the person does."""

    action: str
    """STAR's id."""
    start: int
    end: int
    """Half-open over the frames of the clip."""
    probability: float
    """Of its surest frame."""


def smoothed(probabilities: Tensor, seconds: Tensor) -> Tensor:
    """Average the probabilities [T, N] of frames over their neighbours in time, which may lie anyhow."""
    away = seconds[:, None] - seconds[None]
    weight = torch.exp(-0.5 * (away / _BLUR) ** 2)
    return weight / weight.sum(1, keepdim=True) @ probabilities


def find_events(
    probabilities: Tensor, seconds: Tensor, actions: Sequence[str], *, threshold: float = 0.5
) -> tuple[SeenEvent, ...]:
    """Find events, by their first frame; where two begin together the surer one comes first.

    Parameters
    ----------
    probabilities
        [T, 1 + actions]: of each frame; the first is that nothing is done.
    seconds
        [T]: when each frame is, rising.
    actions
        STAR's ids.
    threshold
        Least probability of an event's surest frame.
    """
    even = smoothed(probabilities, seconds)
    found = []
    for place, action in enumerate(actions, 1):
        of_action = even[:, place]
        if float(of_action.max()) >= threshold:
            start, end = _stretch(of_action, seconds)
            found.append(SeenEvent(action, start, end, float(of_action[start:end].max())))
    return tuple(sorted(found, key=lambda event: (event.start, -event.probability)))


def _stretch(of_action: Tensor, seconds: Tensor) -> tuple[int, int]:
    """Give the strongest stretch of likely frames, across short pauses."""
    stretches: list[list[int]] = []
    for frame in (of_action >= _EDGE * of_action.max()).nonzero().flatten().tolist():
        last = stretches[-1][-1] if stretches else -2
        if frame == last + 1 or (stretches and float(seconds[frame] - seconds[last]) <= _PAUSE):
            stretches[-1].append(frame)
        else:
            stretches.append([frame])
    best = max(stretches, key=lambda frames: float(of_action[frames].sum()))
    return best[0], best[-1] + 1
