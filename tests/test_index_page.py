"""The page of a run: figures as in the report, a row for every question, and texts that change nothing."""

from __future__ import annotations

import re

from aotd.traces.index_page import index_page, run_fragment
from aotd.traces.page_text import shown
from aotd.traces.report import report
from tests.hostile import ATTACK, ATTACKS, stories, with_texts
from tests.parsed_page import Parsed, seen, tags

STORIES = stories()


def test_rows_and_links() -> None:
    """Every question has one row, in order; those with a page are linked, and no others."""
    pages = {STORIES[2].question.id: "pages/x.html"}
    parsed = Parsed(index_page(STORIES, title="val", pages=pages))
    rows = [e for e in parsed.elements if e.tag == "tr" and "data-outcome" in e.attributes]
    assert len(rows) == len(STORIES)
    links = [e.attributes["href"] for e in parsed.elements if e.tag == "a"]
    assert [link for link in links if not link.startswith("#")] == ["pages/x.html"]
    text = seen(index_page(STORIES, title="val", pages={}))
    assert all(story.question.id in text and story.question.text in text for story in STORIES)


def test_figures() -> None:
    """Outcomes, chains of thought and types are counted as in the report."""
    text = seen(index_page(STORIES, title="val", pages={}))
    counted = report(STORIES)
    for outcome, number in counted.outcomes.items():
        assert f"{outcome} {number} {100 * number / 7:.1f} %" in text
    for step, number in counted.funnel.model_dump().items():
        assert f"{step} {number}" in text
    assert "4 of 7 questions right 66.7% of the 6 with a known answer" in text
    assert "Interaction 2 2 100.0 %" in text


def test_filters_know_the_rows() -> None:
    """The number in each choice is that of the rows that have it: outcome, type, functions, checks."""
    page = index_page(STORIES, title="val", pages={})
    elements = Parsed(page).elements
    rows = [e.attributes for e in elements if "data-outcome" in e.attributes]
    facet = ""
    told = iter(re.findall(r">([^<>]*) \((\d+)\)</option>", page))
    for element in elements:
        if element.tag == "select":
            facet = element.attributes["name"]
        elif element.tag == "option" and element.attributes["value"]:
            name, number = next(told)
            having = [row for row in rows if element.attributes["value"] in row[f"data-{facet}"].split()]
            assert len(having) == int(number), (facet, name)
    calling = [s for s in STORIES if s.trace and any(c.function == "Find" for c in s.trace.calls)]
    assert f">Find ({len(calling)})</option>" in page
    assert next(told, None) is None


def test_texts_change_nothing() -> None:
    """Rows of attacks make the very tags and attributes that rows of plain texts make."""
    pages = []
    for text in (ATTACK, "x"):
        examples = [with_texts(story, text) for story in STORIES]
        pages.append((index_page(examples, title=text, pages={}), run_fragment(examples, title=text)))
    (page, fragment), (plain, plain_fragment) = pages
    assert tags(page) == tags(plain)
    assert tags(fragment) == tags(plain_fragment)
    for attack in ATTACKS[:4]:
        assert " ".join(shown(attack).split()) in seen(page)
    assert not re.search("[\u202e\u2066\u2028\x1b\x07\x00\x7f\ufeff]", page + fragment)


def test_fragment() -> None:
    """A notebook gets the figures and the first questions, and is told how many more there are."""
    many = [
        story.model_copy(update={"question": story.question.model_copy(update={"id": f"{n}"})})
        for n in range(10)
        for story in STORIES
    ]
    fragment = run_fragment(many, title="val")
    assert "<script" not in fragment
    assert "25 of 70 questions" in seen(fragment)
    (style,) = re.findall(r"<style>(.*?)</style>", fragment, re.DOTALL)
    assert re.fullmatch(r"(\s*\.aotd \{.*?^\})+\s*", style, re.DOTALL | re.MULTILINE)


def test_empty_run() -> None:
    """A run without a question yet has a page that says so."""
    assert "0 of 0 questions right" in seen(index_page([], title="new", pages={}))
