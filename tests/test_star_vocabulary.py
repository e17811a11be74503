"""STAR's vocabulary and its wording."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.traces.star_phrases import Form, action_phrase, inflect, parse_phrase, relation_phrase
from aotd.traces.star_vocabulary import (
    ACTIONS,
    CONTACT,
    FEASIBLE,
    OBJECT_NAMES,
    OBJECTS,
    RELATION_NAMES,
    RELATIONS,
    SPATIAL,
    VERB_NAMES,
    action_id,
    action_ids,
    object_id,
    relation_id,
)

FORMS: tuple[Form, ...] = ("base", "past", "gerund", "participle")


def class_file(data: Path, name: str) -> list[list[str]]:
    """Read the rows of a published class file, id first."""
    return [
        line.split(None, 1)
        for line in (data / "star/classes" / name).read_text(encoding="utf-8").splitlines()
    ]


def test_tables_equal_the_published_class_files(data: Path) -> None:
    """Ids, names and the verb and object of each action are those that STAR published."""
    actions = class_file(data, "action_classes.txt")
    assert [[a.id, a.label] for a in ACTIONS] == [[key, label.strip()] for key, label in actions]
    verbs = {key: name.strip() for key, name in class_file(data, "verb_classes.txt")}
    assert verbs == {f"v{number:03d}": name for number, name in enumerate(VERB_NAMES)}
    assert {key: name.strip() for key, name in class_file(data, "object_classes.txt")} == dict(OBJECTS)
    assert {key: name.strip() for key, name in class_file(data, "relationship_classes.txt")} == dict(
        RELATIONS
    )
    mapped = [[key, *rest.split()] for key, rest in class_file(data, "action_mapping.txt")]
    assert [[a.id, a.verb, a.obj] for a in ACTIONS] == [
        [key, verbs[verb], OBJECTS[obj]] for key, verb, obj in mapped
    ]


def test_sizes_are_those_of_the_paper() -> None:
    """There are 111 actions, 17 verbs, 37 objects, 9 spatial and 15 contact relations."""
    assert (len(ACTIONS), len(VERB_NAMES), len(OBJECT_NAMES)) == (111, 17, 37)
    assert (len(SPATIAL), len(CONTACT), len(RELATION_NAMES)) == (9, 15, 24)
    assert len(set(OBJECT_NAMES)) == 37
    assert set(RELATION_NAMES) == SPATIAL | CONTACT


def test_feasible_pairs_follow_from_the_actions() -> None:
    """Each verb goes with the objects of its actions; two of 111 actions share another's pair."""
    assert FEASIBLE["eat"] == {"sandwich", "medicine"}
    assert FEASIBLE["lie"] == {"sofa/couch", "floor", "bed"}
    assert FEASIBLE["grasp"] == {"doorknob"}
    assert sum(len(objects) for objects in FEASIBLE.values()) == 111 - 2


def test_shared_pairs_are_told_apart_by_particle() -> None:
    """Sitting on and at a table, and turning a light on and off, are two actions each."""
    assert action_ids("sit", "table") == ("a008", "a009")
    assert action_id("sit", "table") is None
    assert action_id("sit", "table", "at") == "a009"
    assert action_id("turn", "light", "off") == "a081"
    assert action_id("sit", "chair", "in") == "a045"
    assert action_id("eat", "book") is None
    assert action_ids("eat", "book") == ()


def test_names_lead_to_ids() -> None:
    """Whole names have ids and other texts have none."""
    assert (object_id("cup/glass/bottle"), relation_id("in_front_of")) == ("o010", "r002")
    assert (object_id("cup"), relation_id("in front of")) == (None, None)


@pytest.mark.parametrize(
    ("verb", "past", "gerund", "participle"),
    [
        ("close", "closed", "closing", "closed"),
        ("drink", "drank", "drinking", "drunk"),
        ("eat", "ate", "eating", "eaten"),
        ("grasp", "grasped", "grasping", "grasped"),
        ("hold", "held", "holding", "held"),
        ("lie", "lied", "lying", "lied"),
        ("open", "opened", "opening", "opened"),
        ("put", "put", "putting", "put"),
        ("sit", "sat", "sitting", "sat"),
        ("stand", "stood", "standing", "stood"),
        ("take", "took", "taking", "taken"),
        ("throw", "threw", "throwing", "thrown"),
        ("tidy", "tidied", "tidying", "tidied"),
        ("turn", "turned", "turning", "turned"),
        ("walk", "walked", "walking", "walked"),
        ("wash", "washed", "washing", "washed"),
        ("watch", "watched", "watching", "watched"),
    ],
)
def test_verbs_are_inflected(verb: str, past: str, gerund: str, participle: str) -> None:
    """Every verb has the forms that STAR's questions use."""
    assert [inflect(verb, form) for form in FORMS] == [verb, past, gerund, participle]


@pytest.mark.parametrize(
    ("action", "form", "text"),
    [
        ("a053", "base", "put down the sandwich"),
        ("a082", "past", "drank from the cup/glass/bottle"),
        ("a010", "gerund", "tidying up the table"),
        ("a071", "past", "watched outside the window"),
        ("a025", "gerund", "watching at the book"),
        ("a101", "base", "put the groceries"),
        ("a074", "base", "walk through the doorway"),
        ("a108", "gerund", "grasping onto the doorknob"),
        ("a102", "gerund", "watching the television"),
        ("a009", "past", "sat at the table"),
        ("a064", "participle", "taken the picture"),
    ],
)
def test_actions_are_worded_as_in_the_questions(action: str, form: Form, text: str) -> None:
    """An action's phrase is the one that STAR's questions and options use."""
    assert action_phrase(action, form) == text


@pytest.mark.parametrize("form", FORMS)
def test_every_action_is_read_back(form: Form) -> None:
    """An action's phrase in any form, as an event, an option or alone, gives that action and no other."""
    for a in ACTIONS:
        phrase = action_phrase(a.id, form)
        for text in (phrase, f"person is {phrase}", f"{phrase[0].upper()}{phrase[1:]}."):
            parsed = parse_phrase(text)
            assert (parsed.verb, parsed.obj, parsed.action) == (a.verb, a.obj, a.id), text


def test_every_class_name_is_read() -> None:
    """STAR's class names give their own actions, also behind a subject."""
    for a in ACTIONS:
        assert parse_phrase(a.label).action == a.id
        assert parse_phrase(f"person {a.label}").action == a.id


def test_every_description_is_read_back() -> None:
    """`object put down by the person` names the verb alone."""
    for a in ACTIONS:
        text = " ".join(filter(None, ("object", inflect(a.verb, "participle"), a.particle, "by the person")))
        assert parse_phrase(text)[:3] == (a.verb, a.particle, None)
        assert parse_phrase(text).noun == ""


def test_every_relation_is_read_back() -> None:
    """A relation's phrase with any object gives both; so does the published name, alone."""
    for relation in RELATION_NAMES:
        assert parse_phrase(relation).relation == relation
        for obj in OBJECT_NAMES[1:]:
            parsed = parse_phrase(f"person is {relation_phrase(relation, obj)}")
            assert (parsed.relation, parsed.obj) == (relation, obj)


def test_every_object_is_read_back() -> None:
    """Whole names, slash parts and plurals name the object, with or without an article and full stop."""
    for obj in OBJECT_NAMES:
        for name in (obj, *obj.split("/"), *(f"{part}s" for part in obj.split("/"))):
            for text in (name, f"the {name}", f"The {name}."):
                assert parse_phrase(text)[:4] == (None, "", obj, None)


@pytest.mark.parametrize(
    ("text", "verb", "obj", "relation"),
    [
        ("person is putting down the sandwich", "put", "sandwich", None),
        ("object put down by the person", "put", None, None),
        ("object that the person put down", "put", None, None),
        ("The sandwich.", None, "sandwich", None),
        ("Put down.", "put", None, None),
        ("Lied on.", "lie", None, "lying_on"),
        ("Sat at the table.", "sit", "table", None),
        ("holding the dish", "hold", "dish", "holding"),
        ("person is drinking from the cup", "drink", "cup/glass/bottle", "drinking_from"),
        ("person is eating the sandwich", "eat", "sandwich", "eating"),
        ("sitting on the chair", "sit", "chair", "sitting_on"),
        ("sat in the chair", "sit", "chair", "sitting_on"),
        ("lay on the bed", "lie", "bed", "lying_on"),
        ("watched at the book", "watch", "book", None),
        ("in front of the mirror", None, "mirror", "in_front_of"),
        ("standing in front of the mirror", "stand", "mirror", "in_front_of"),
        ("on the side of the window", None, "window", "on_the_side_of"),
        ("covered by the blanket", None, "blanket", "covered_by"),
        ("leaning on", None, None, "leaning_on"),
        ("behind", None, None, "behind"),
        ("having bag on the back", None, "bag", "have_it_on_the_back"),
        ("The person is at the door", None, "door", "at"),
        ("the man is holding a phone", "hold", "phone/camera", "holding"),
        ("opening the door of the room", "open", "door", None),
        ("juggling the ball", None, None, None),
        ("", None, None, None),
    ],
)
def test_wordings_are_read(text: str, verb: str | None, obj: str | None, relation: str | None) -> None:
    """A text may denote an action, a relation, both or neither."""
    parsed = parse_phrase(text)
    assert (parsed.verb, parsed.obj, parsed.relation) == (verb, obj, relation)


def test_unknown_nouns_are_kept() -> None:
    """What is no object of STAR stays available as it was written."""
    assert parse_phrase("holding the red umbrella") == ("hold", "", None, "holding", "red umbrella", None)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """Whatever the text, the result holds words of the vocabulary or none."""
    parsed = parse_phrase(text)
    assert parsed.verb is None or parsed.verb in VERB_NAMES
    assert parsed.obj is None or parsed.obj in OBJECT_NAMES
    assert parsed.relation is None or parsed.relation in RELATION_NAMES


def test_every_option_of_the_validation_split_is_read(data: Path) -> None:
    """All options name a known verb, a known object or both, and leave no word unread."""
    with (data / "star/STAR_val_qa.csv").open(encoding="utf-8") as file:
        options = {row[f"a{i}"] for row in csv.DictReader(file) for i in range(4)}
    assert len(options) == 278
    for option in options:
        parsed = parse_phrase(option)
        assert parsed.verb or parsed.obj, option
        assert bool(parsed.noun) == (parsed.obj is not None), option
        assert (parsed.obj is None) == ("the " not in option.lower()), option


def test_every_event_of_the_validation_split_is_read(data: Path) -> None:
    """All conditions in the questions name a verb or relation and, wherever they name one, an object."""
    condition = re.compile(r" (?:after|before|while|when)(?: they| the person)?(?: were| are| is)? (.+)\?$")
    with (data / "star/STAR_val_qa.csv").open(encoding="utf-8") as file:
        found = [condition.search(row["question"]) for row in csv.DictReader(file)]
    events = {event for match in found if match for event in re.split(r"\band\b", match[1])}
    assert len(events) > 300
    for event in events:
        parsed = parse_phrase(event)
        assert parsed.verb or parsed.relation, event
        assert parsed.obj, event
