"""A page as a parser sees it, apart from any browser: tags, their nesting, their attributes, and texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final, NamedTuple

__all__ = ["Element", "Parsed", "seen", "tags"]

_VOID: Final = frozenset({"meta", "input", "br", "img", "link", "base"})


class Element(NamedTuple):
    """A start tag with its attributes."""

    tag: str
    attributes: dict[str, str]


class Parsed(HTMLParser):
    """A page as a parser sees it: its start tags in order, closed as they were opened, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a start tag."""
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag that closes itself, as in SVG."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Take an end tag, which must close what was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take a text."""
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """Refuse comments: the pages have none."""
        raise AssertionError(data)

    def named(self, name: str) -> list[Element]:
        """Give the elements of a class."""
        return [e for e in self.elements if name in e.attributes.get("class", "").split()]


def seen(page: str) -> str:
    """Give the text of a page without its style and script, spaces made single."""
    bare = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(" ".join(Parsed(bare).texts).split())


def tags(page: str) -> list[tuple[str, dict[str, str]]]:
    """Give a page's start tags with all attributes but the two that speak: labels and titles."""
    return [
        (e.tag, {k: v for k, v in e.attributes.items() if k not in ("aria-label", "title")})
        for e in Parsed(page).elements
    ]
