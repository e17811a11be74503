"""The page of a question: what it shows, that untrusted texts change nothing in it, that it stays small."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections import Counter
from itertools import combinations

import networkx as nx
import pytest

from aotd.traces.dataflow import dataflow
from aotd.traces.outcomes import Outcome
from aotd.traces.page import LARGEST, example_fragment, question_page, shell, trace_fragment
from aotd.traces.page_graph import graph_of
from aotd.traces.page_text import page_name, shown
from aotd.traces.records import Attempt, Call, Clip, Example, Reason, Refusal, Sighting, Trace, Video
from tests.hostile import ATTACK, ATTACKS, stories, with_texts
from tests.parsed_page import Parsed, seen, tags

STORIES = stories()


def test_parts_of_a_page() -> None:
    """A page tells the question, options, answer, truth, program, calls, boxes, checks and what was cited."""
    story = STORIES[4]
    page = question_page(story)
    text = seen(page)
    for word in (story.question.id, story.question.text, "The box.", "answered", "true", "wrong"):
        assert word in text
    parsed = Parsed(page)
    assert story.trace is not None
    assert len(parsed.named("card")) == len(story.trace.calls)
    rows = [e for e in parsed.elements if e.tag == "tr" and "data-line" in e.attributes]
    assert len(rows) == len(story.trace.program.splitlines())
    loop = next(e for e in rows if e.attributes["data-line"] == "4")
    assert loop.attributes["data-calls"] == "1 2 3"
    assert "3\u00d7" in text
    boxes = sum(len(call.sightings) for call in story.trace.calls)
    assert len(parsed.named("box")) == boxes


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.question.id)
def test_links_lead_somewhere(story: Example) -> None:
    """Every link and every reference of a page or fragment names an element that is there; ids are unique."""
    for page in (question_page(story, frames=lambda _: b"jpeg"), example_fragment(story)):
        elements = Parsed(page).elements
        ids = Counter(e.attributes["id"] for e in elements if "id" in e.attributes)
        assert set(ids.values()) == {1}
        links = [e.attributes["href"] for e in elements if e.tag in ("a", "use")]
        assert links
        assert {link.removeprefix("#") for link in links} <= set(ids)
        labelled = [e.attributes["aria-labelledby"] for e in elements if "aria-labelledby" in e.attributes]
        assert set(labelled) <= set(ids)


def test_attempts_and_refusals() -> None:
    """Every attempt can be opened, the last is open, and a refusal stands at its line."""
    story = STORIES[0]
    reasons = (Reason(line=1, kind="policy", message="no imports", hint="use the API"),)
    reasons += (Reason(line=None, kind="contract", message="no execute_command"),)
    refused = Attempt(
        program="import os\n", refusal=Refusal(outcome=Outcome.REFUSED_BY_POLICY, reasons=reasons)
    )
    repaired = story.model_copy(
        update={"attempts": (refused, *story.attempts), "outcome": Outcome.RIGHT_AFTER_REPAIR}
    )
    page = question_page(repaired)
    attempts = Parsed(page).named("attempt")
    assert [("open" in e.attributes) for e in attempts] == [False, True]
    assert len({e.attributes["name"] for e in attempts}) == 1
    text = seen(page)
    for words in ("Attempt 1 of 2: refused before it ran", "no imports; use the API", "no execute_command"):
        assert words in text
    assert [e.attributes["data-line"] for e in Parsed(page).named("refused")] == ["1"]


def test_failure_is_shown_at_its_line() -> None:
    """The line that failed is marked, with the exception; lines never reached are marked as such."""
    page = question_page(STORIES[5])
    assert [e.attributes["data-line"] for e in Parsed(page).named("failed")] == ["3"]
    assert "EmptyClip: Video_query of an empty clip (line 3)" in seen(page)


def test_lines_are_those_of_python() -> None:
    """A line separator inside a text of the program does not shift the lines after it."""
    program = (
        "def execute_command(video_clip, query, possible_answers):\n    x = 'a\u2028b\x0cc'\n    return x\n"
    )
    trace = Trace(video=Video(id="v", digest="id:v"), span=None, program=program, lines={1: 1, 2: 1, 3: 1})
    rows = [e for e in Parsed(trace_fragment(trace)).elements if "data-line" in e.attributes]
    assert len(rows) == 3
    assert "x = 'a\\u2028b\\x0cc'" in seen(trace_fragment(trace))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.question.id)
def test_texts_change_nothing(story: Example) -> None:
    """With every free text an attack, a page has the tags and attributes that it has with plain texts."""
    hostile, plain = with_texts(story, ATTACK), with_texts(story, "x")
    for draw in (lambda e: question_page(e, frames=lambda _: b"jpeg"), example_fragment):
        page = draw(hostile)
        uid = re.compile(r"\ba[0-9a-f]{10}\b")  # of a fragment: a hash of what it shows
        assert uid.sub("a", str(tags(page))) == uid.sub("a", str(tags(draw(plain))))
        text = seen(page)
        for attack in ATTACKS:
            words = " ".join(shown(attack).split())
            assert text.count(words) >= 20
        for character in "\u202e\u2066\u2028\x1b\x07\x00\x7f\ufeff":
            assert character not in page


def test_policy() -> None:
    """The page's policy allows its own script and style by hash, pictures in the page, and nothing else."""
    page = question_page(STORIES[0])
    parsed = Parsed(page)
    (policy,) = [e.attributes["content"] for e in parsed.elements if "http-equiv" in e.attributes]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    for element in parsed.elements:
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
    assert "file:" in shell("t", "", "page.js", ["page.css"], linked=True)


def test_each_picture_once() -> None:
    """A frame that many calls show is in the page once, in the order of bytes given by its position."""
    asked: list[int] = []

    def frames(position: int) -> bytes | None:
        asked.append(position)
        return None if position == 8 else f"jpeg {position}".encode()

    story = STORIES[4]
    page = question_page(story, frames=frames)
    images = {e.attributes["id"]: e.attributes["href"] for e in Parsed(page).elements if e.tag == "image"}
    assert len(images) == len(set(asked) - {8})
    for name, address in images.items():
        body = base64.b64decode(address.removeprefix("data:image/jpeg;base64,"))
        assert body == f"jpeg {name.removeprefix('q-f')}".encode()
    uses = Counter(e.attributes["href"] for e in Parsed(page).elements if e.tag == "use")
    assert max(uses.values()) > 1
    assert "#q-f8" not in uses


def test_linked_pictures() -> None:
    """Pictures may lie in files: the page names the addresses that it was given, and holds no bytes."""
    page = question_page(STORIES[4], frames=lambda n: b"%d" % n, link=lambda jpeg: f"a/{jpeg.decode()}.jpg")
    addresses = {e.attributes["href"] for e in Parsed(page).elements if e.tag == "image"}
    assert addresses
    assert all(re.fullmatch(r"a/\d+\.jpg", address) for address in addresses)
    assert "base64" not in seen(page)


def test_boxes_without_pixels() -> None:
    """Without a video boxes lie on a canvas of its size, or of the boxes' own extent when that is unknown."""
    call = Call(
        number=1, function="Find", line=2, args={"clip": {"$clip": "clip0"}, "obj": "cup"},
        result=Clip(video="v", span=None, grid_ids=(4,), crops=((1, 2, 300, 200),)),
        sightings=(Sighting(frame=4, name="cup", box=(10, 20, 300, 200), score=0.25),),
    )  # fmt: skip
    trace = Trace(video=Video(id="v", digest="id:v"), span=None, program="a\nb\n", calls=(call,))
    sized = trace.model_copy(update={"video": Video(id="v", digest="d", width=640, height=480)})
    for drawn, size in ((trace, "0 0 300 200"), (sized, "0 0 640 480")):
        parsed = Parsed(trace_fragment(drawn))
        (picture,) = [e for e in parsed.elements if e.attributes.get("aria-label", "").startswith("frame 4")]
        assert picture.attributes["viewbox"] == size
        rect = next(e.attributes for e in parsed.elements if e.attributes.get("x") == "10")
        assert (rect["y"], rect["width"], rect["height"]) == ("20", "290", "180")
        assert "cup 0.25" in " ".join(parsed.texts)


def crowded(attempts: int) -> Example:
    """Make an example as large as they come: 64 calls a program, boxes everywhere, long answers."""
    chance = random.Random(0)
    names = [f"thing {n}" for n in range(6)]
    calls = []
    for number in range(1, 65):
        boxes = tuple(
            Sighting(frame=f, name=chance.choice(names), box=(f, f, f + 90, f + 60), score=chance.random())
            for f in range(32)
            for _ in range(3)
        )
        text = [f"{number} {n} " + "long words & <more> " * 30 for n in range(32)]
        args = {"clip": {"$clip": "clip0"}, "query": "why " * 400}
        calls.append(Call(number=number, function="Find", line=2, args=args, result=text, sightings=boxes))
    lines = "    x = Find(video_clip, 'a')\n" * 500
    program = f"def execute_command(video_clip, query, possible_answers):\n{lines}    return x\n"
    variables = {str(n): {f"v{i}": f"{n}" * 150 for i in range(30)} for n in range(1, 65)}
    trace = Trace(
        video=Video(id="v", digest="d", width=480, height=270, frames=99), span=(0.0, 9.0), program=program,
        calls=tuple(calls), variables=variables, lines=dict.fromkeys(range(1, 500), 1), answer="yes",
    )  # fmt: skip
    made = tuple(Attempt(program=program, trace=trace) for _ in range(attempts))
    return STORIES[0].model_copy(update={"attempts": made, "outcome": Outcome.RIGHT})


def test_page_stays_small() -> None:
    """Three programs of 64 calls with boxes on every frame and 32 large pictures make less than 1.5 MB."""
    pixels = random.Random(1).randbytes(60_000)
    page = question_page(crowded(3), frames=lambda n: bytes([n]) + pixels)
    assert len(page.encode()) <= LARGEST < 1_500_000
    assert "pictures are left out to keep this page small" in seen(page)
    assert "cut here" in seen(page)


def test_fragments() -> None:
    """In a notebook the same parts are shown, without a script, and no style reaches outside of them."""
    story = STORIES[4]
    assert story.trace is not None
    for fragment in (story._repr_html_(), story.trace._repr_html_()):
        assert "<script" not in fragment
        assert len(Parsed(fragment).named("card")) == len(story.trace.calls)
        (style,) = re.findall(r"<style>(.*?)</style>", fragment, re.DOTALL)
        assert re.fullmatch(r"\s*\.aotd \{.*\}\s*", style, re.DOTALL)
        depth = 0
        for place, character in enumerate(style.strip()):
            depth += {"{": 1, "}": -1}.get(character, 0)
            assert depth > 0 or place in range(len(".aotd {")) or place == len(style.strip()) - 1
    assert story.question.text in story._repr_html_()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.question.id)
def test_graph(story: Example) -> None:
    """The drawn graph reaches what the data flow reaches; boxes are apart, and edges go down between them."""
    assert story.trace is not None
    graph = graph_of(story.trace)
    whole = nx.relabel_nodes(dataflow(story.trace), {"answer": 0})
    drawn = nx.DiGraph([(edge.source, edge.target) for edge in graph.edges])
    drawn.add_nodes_from(node.number for node in graph.nodes)
    if story.trace.failure is not None:
        whole.remove_node(0)
    assert set(drawn) == set(whole)
    assert set(nx.transitive_closure(drawn).edges) == set(nx.transitive_closure(whole).edges)
    assert graph.hidden == whole.size() - drawn.size()
    at = {node.number: node for node in graph.nodes}
    for one, two in combinations(graph.nodes, 2):
        apart = abs(one.x - two.x) >= graph.node_width or abs(one.y - two.y) >= graph.node_height
        assert apart, (one, two)
    for edge in graph.edges:
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", edge.path)]
        source, target = at[edge.source], at[edge.target]
        assert numbers[:2] == [source.x + graph.node_width / 2, source.y + graph.node_height]
        assert numbers[-2:] == [target.x + graph.node_width / 2, target.y]
        assert source.y < target.y


def test_page_names() -> None:
    """Names of pages hold safe characters only, and differ for ids that differ in case or in what is cut."""
    ids = ["a", "A", "../a", "a/", "a" * 300, "a" * 301, "", "\u202e", "con", "Interaction_T1_13", *ATTACKS]
    names = [page_name(question_id) for question_id in ids]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,69}\.html", name) for name in names)
    assert len({name.lower() for name in names}) == len(ids)
    assert page_name("Interaction_T1_13").startswith("Interaction_T1_13-")


def luminance(colour: str) -> float:
    """Give the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    """Each colour of text has a contrast of 4.5 to each ground that it can stand on (WCAG 2.2, AA)."""
    style = question_page(STORIES[0]).partition("<style>")[2].partition("</style>")[0]
    blocks = re.findall(r"--bg:.*?--tick: #[0-9a-f]{6}", style, re.DOTALL)
    assert len(blocks) == 2
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    for ink in ("text", "muted", "accent", "ok", "bad", "warn"):
        for ground in ("bg", "surface", "code", "lit", "sure"):
            light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_shown() -> None:
    """Characters that do not print are named; letters of all scripts, spaces and line breaks stay."""
    assert shown("a\tb\r\nc\u00a0\u3000é漢\u0645\u200c") == "a   b\nc\u00a0\u3000é漢\u0645\u200c"
    assert shown("\u202e\x00\x9b\U000e0041\r") == "\\u202e\\x00\\x9b\\U000e0041\\x0d"
    assert [len(shown(c)) for c in "\x7f\ufeff"] == [4, 6]
