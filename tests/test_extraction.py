"""Rules of released evaluators, each with the quirk that it is known for."""

from __future__ import annotations

import pytest

from aotd.benchmarks.extraction import RULES, Rule

OPTIONS = ("Opened.", "Closed.", "Washed.", "Ate.")


@pytest.mark.parametrize(
    ("rule", "words", "option"),
    [
        ("mc_v1", "Answer: B", 1),
        ("mc_v1", "(C) Washed.", 2),
        ("mc_v1", "A man washed it.", 2),
        ("mc_v1", "", None),
        ("first-letter", "Answer: B", 0),
        ("first-letter", "it is (D)", 3),
        ("first-letter", "nothing", None),
        ("aotd-nextqa", "B", 1),
        ("aotd-nextqa", "(B) An apple", 0),
        ("aotd-nextqa", "no idea", None),
        ("aotd-mvbench", "(b)", 1),
        ("aotd-mvbench", "B.", 1),
        ("aotd-mvbench", "The answer is A", None),
        ("aotd-mvbench", "(", None),
        ("aotd-mvbench", "", None),
        ("aotd-program", "B", 1),
        ("aotd-program", "B.", None),
        ("ve-score", "Answer: B", 0),
        ("ve-score", "so D", 3),
    ],
)
def test_each_rule_reads_words_as_its_original_does(rule: Rule, words: str, option: int | None) -> None:
    """A rule gives the option that the released code gives, or none where that one draws at random."""
    assert RULES[rule](words, OPTIONS).index == option
