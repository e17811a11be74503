"""The page of a question in Chromium: keys, links both ways, contrast, narrow screens, attacks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aotd.traces.page import example_fragment, question_page
from aotd.traces.records import Example, Rationale, Sentence, Verdict
from tests.hostile import ATTACK, stories, with_texts
from tests.pages.chromium import Browser, Tab

STORIES = stories()


def picture(number: int) -> bytes:
    """Draw a small JPEG."""
    out = io.BytesIO()
    Image.new("RGB", (64, 36), (8 * number % 255, 90, 120)).save(out, "JPEG")
    return out.getvalue()


def told(example: Example) -> Example:
    """Give an example a chain of thought and a second attempt before its own."""
    sentences = (Sentence(text="It is at [1, 2, 3, 4].", calls=(1, 2)), Sentence(text="So.", calls=(2,)))
    return example.model_copy(
        update={
            "attempts": (STORIES[5].attempts[0], *example.attempts),
            "rationale": Rationale(writer="hand", sentences=sentences),
            "verdicts": (Verdict(check="judge", passed=False, reason="no", raw="No."),),
        }
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The page of a question with two attempts, pictures, boxes, and a chain of thought."""
    path = tmp_path / "page.html"
    path.write_text(question_page(told(STORIES[4]), frames=picture), encoding="utf-8")
    return path


def test_keys(browser: Browser, page: Path) -> None:
    """Keys step through the calls, switch boxes, labels, size and attempt, and let go again."""
    tab = Tab(browser, page)
    current = "document.querySelector('.current')?.id ?? null"
    steps = []
    for key in ("j", "j", "k", "ArrowRight", "ArrowLeft", "k"):
        tab.press(key)
        steps.append(tab.run(current))
    assert steps == [f"q-2-call-{n}" for n in (1, 2, 1, 2, 1, 1)]
    assert tab.run("document.activeElement.id") == "q-2-call-1"
    assert tab.run("document.querySelector('.current').getAttribute('aria-current')") == "true"
    visible = "getComputedStyle(document.querySelector('.box {}')).display"
    tab.press("l")
    assert [tab.run(visible.replace(" {}", part)) for part in ("", " text")] == ["inline", "none"]
    tab.press("b")
    assert tab.run(visible.replace(" {}", "")) == "none"
    tab.press("z")
    assert tab.run("document.querySelectorAll('.current .pictures.large').length") == 1
    tab.press("Escape")
    assert tab.run(current) is None
    tab.press("a")
    assert tab.run("[...document.querySelectorAll('details.attempt')].map((d) => d.open)") == [True, False]
    tab.press("j")
    assert tab.run(current) == "q-1-call-1"
    assert tab.problems == []


def test_sentences_and_calls(browser: Browser, page: Path) -> None:
    """Hovering a sentence lights the calls it cites; choosing a call lights the sentences that cite it."""
    tab = Tab(browser, page)
    lit = "[...document.querySelectorAll('{}.lit')].map((e) => e.id || e.textContent)"
    tab.click(".sentence", only_hover=True)
    assert tab.run(lit.format(".card")) == ["q-2-call-1", "q-2-call-2"]
    assert tab.run("document.querySelectorAll('.program tr.lit').length") >= 1
    tab.click(".sentence:nth-child(2) .chip")
    assert tab.run("document.querySelector('.current').id") == "q-2-call-2"
    tab.send("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert len(tab.run(lit.format(".sentence"))) == 2
    tab.click("#q-2-call-1 header")
    tab.send("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert len(tab.run(lit.format(".sentence"))) == 1
    assert tab.run("[...document.querySelectorAll('.graph a.lit')].map((a) => a.dataset.call)") == ["1"]
    assert tab.problems == []


def test_address_of_a_call(browser: Browser, page: Path) -> None:
    """An address that names a call opens its attempt and chooses it."""
    tab = Tab(browser, page)
    tab.run("location.hash = 'q-1-call-2'")
    tab.run("new Promise((done) => setTimeout(done, 100))")
    assert tab.run("document.querySelector('.current').id") == "q-1-call-2"
    assert tab.run("[...document.querySelectorAll('details.attempt')].map((d) => d.open)") == [True, False]


CONTRAST = """(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
    return [255, 255, 255]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const poor = []; let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || e.closest('script, style, .box')) continue;
    if (!e.getClientRects().length) continue;
    const style = getComputedStyle(e), svg = e.ownerSVGElement;
    const ink = light(parse(svg ? style.fill : style.color));
    const box = svg && e.parentNode.querySelector('rect');
    const under = light(box ? parse(getComputedStyle(box).fill) : ground(e));
    const ratio = (Math.max(ink, under) + 0.05) / (Math.min(ink, under) + 0.05);
    seen += 1;
    if (ratio < 4.5) poor.push([walk.currentNode.data.trim().slice(0, 40), ratio]);
  }
  return [seen, poor];
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_as_drawn(browser: Browser, page: Path, dark: bool) -> None:  # noqa: FBT001
    """Every text that is drawn has a contrast of 4.5 to what lies behind it, also where it is lit."""
    tab = Tab(browser, page, dark=dark)
    tab.press("j")
    seen, poor = tab.run(CONTRAST)
    assert poor == []
    assert seen > 100


@pytest.mark.parametrize("width", [400, 800, 1280])
def test_no_page_is_too_wide(browser: Browser, page: Path, width: int) -> None:
    """At any width the page itself does not scroll sideways, whatever stands in it."""
    hostile = page.with_name("hostile.html")
    long = with_texts(STORIES[4], "W" * 500)
    hostile.write_text(question_page(long, frames=picture), encoding="utf-8")
    for path in (page, hostile):
        tab = Tab(browser, path, width=width)
        assert tab.run("document.documentElement.scrollWidth") <= width


def skeleton(tab: Tab) -> list[Any]:
    """Give the elements of a page as the browser made them, with all attributes but labels and titles."""
    made: list[Any] = tab.run(
        """[...document.querySelectorAll("*")].map((e) => [e.tagName, e.parentElement?.tagName,
        [...e.attributes].filter((a) => !["aria-label", "title"].includes(a.name))
          .map((a) => `${a.name}=${a.value}`)])"""
    )
    return made


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.question.id)
def test_attacks_change_nothing(browser: Browser, tmp_path: Path, story: Example) -> None:
    """Texts full of attacks make the same elements as plain ones, run nothing and ask for nothing."""
    shapes = []
    for text in (ATTACK, "x"):
        path = tmp_path / f"{len(text)}.html"
        path.write_text(question_page(with_texts(story, text), frames=picture), encoding="utf-8")
        tab = Tab(browser, path)
        tab.press("j")
        assert tab.run("window.hit ?? null") is None
        assert tab.problems == []
        shapes.append(skeleton(tab))
    assert shapes[0] == shapes[1]


def test_policy_stops_what_escaping_would_miss(browser: Browser, tmp_path: Path) -> None:
    """Were a script, a style, a picture or a frame written into a page, the page's policy would stop it."""
    planted = (
        "<script>window.hit=1</script><img src=x onerror=window.hit=1><style>h1{display:none}</style>"
        "<img src='//evil.example/x.png'><iframe src='data:text/html,x'></iframe>"
        "<base href='//evil.example/'>"
    )
    path = tmp_path / "page.html"
    path.write_text(question_page(STORIES[0]).replace("<header>", f"<header>{planted}", 1), encoding="utf-8")
    tab = Tab(browser, path)
    assert tab.run("window.hit ?? null") is None
    assert tab.run("getComputedStyle(document.querySelector('h1')).display") == "block"
    assert tab.run("document.baseURI") == tab.run("location.href")
    assert len([text for text in tab.problems if "Content Security Policy" in text]) >= 4


def test_fragments_keep_to_themselves(browser: Browser, tmp_path: Path) -> None:
    """Two fragments beside other content leave its style alone and switch their own boxes only."""
    story = told(STORIES[4])
    other = with_texts(story, "x")
    mine = "<p id=mine>mine</p><table><td>cell</table>"
    body = f"{mine}{example_fragment(story)}{example_fragment(other)}"
    path = tmp_path / "notebook.html"
    style = "['color', 'font', 'lineHeight', 'padding'].map((n) => getComputedStyle(mine)[n])"
    found = []
    for text in (body, mine):
        path.write_text(f"<!DOCTYPE html><meta charset=utf-8>{text}", encoding="utf-8")
        tab = Tab(browser, path)
        found.append(tab.run(style))
        if "aotd" in text:
            shown = (
                "[...document.querySelectorAll('.aotd')]"
                ".map((one) => getComputedStyle(one.querySelector('.box')).display)"
            )
            tab.click(".show-boxes")
            assert tab.run(shown) == ["none", "inline"]
    assert found[0] == found[1]


def test_reads_without_script(browser: Browser, page: Path) -> None:
    """With scripts off everything can still be read and opened: calls, other attempts, boxes switched off."""
    tab = Tab(browser, page)
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    browser.events.clear()
    tab.send("Page.reload")
    browser.wait("Page.loadEventFired")
    tab.press("j")
    assert tab.run("document.querySelector('.current')") is None
    trace = STORIES[4].trace
    assert trace is not None
    assert tab.run("document.querySelectorAll('details[open] .card').length") == len(trace.calls)
    tab.click("details.attempt summary")
    assert tab.run("[...document.querySelectorAll('details.attempt')].map((d) => d.open)") == [True, False]
    box = "getComputedStyle(document.querySelectorAll('.box')[0]).display"
    assert tab.run(box) == "inline"
    tab.click(".show-boxes")
    assert tab.run(box) == "none"
    tab.click(".sentence:nth-child(2) .chip")
    assert tab.run("location.hash") == "#q-2-call-2"
