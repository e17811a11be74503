"""Progress of a run on the terminal: rate, live outcome counts, time left.

A bar that rewrites itself on a terminal, a line every few seconds elsewhere. Decides nothing.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType

from tqdm import tqdm

__all__ = ["Progress"]


class Progress:
    """A progress bar that counts what became of questions.

    Parameters
    ----------
    total
        Questions of the run.
    done
        Those already recorded.
    """

    def __init__(self, total: int, done: int) -> None:
        live = sys.stderr.isatty()
        self._counts: Counter[str] = Counter()
        self._bar = tqdm(
            total=total, initial=done, unit="q", mininterval=0.2 if live else 5.0, file=sys.stderr, ncols=110
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()
        self._bar.close()

    def add(self, label: str) -> None:
        """Count one finished question under a label."""
        self._counts[label] += 1
        self._bar.update()
        if self._bar.n % 16 == 0:
            self._show()

    def _show(self) -> None:
        told = ", ".join(f"{name} {n}" for name, n in self._counts.most_common(4))
        self._bar.set_postfix_str(told, refresh=False)
