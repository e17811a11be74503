"""STAR's annotation files: what is read from them and how faults are told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotd.benchmarks.annotation import json_records
from aotd.benchmarks.star import AnnotationError, Step, load_star

HEADER = ",video_name,question,answer_number,question_id,question_type,a0,a1,a2,a3,answer"


def _record(**changes: Any) -> dict[str, Any]:
    """One record in the release's layout; a change to None takes the field out."""
    record = {
        "question_id": "Interaction_T1_13",
        "question": "Which object was opened by the person?",
        "video_id": "6H78U",
        "start": 1.0,
        "end": 4.5,
        "answer": "The book.",
        "question_program": [
            {"function": "Situations", "value_input": []},
            {"function": "Actions", "value_input": []},
            {"function": "Filter_Actions_with_Verb", "value_input": ["open"]},
            {"function": "Unique", "value_input": []},
            {"function": "Query_Objs", "value_input": []},
        ],
        "choices": [_choice(i, name) for i, name in enumerate(("book", "door", "bag", "box"))],
        "situations": {
            "000123": {
                "actions": ["a021"],
                "rel_pairs": [["o000", "o017"]],
                "rel_labels": ["r009"],
                "bbox": [[1.0, 2.0, 30.5, 40.0], None],
                "bbox_labels": ["o000", "o017"],
            }
        },
        **changes,
    }
    return {k: v for k, v in record.items() if v is not None}


def _choice(number: int, name: str) -> dict[str, Any]:
    """One choice with its program."""
    program = [{"function": "Equal", "value_input": [name]}]
    return {"choice_id": number, "choice": f"The {name}.", "choice_program": program}


def _written(folder: Path, *records: object, name: str = "star.json") -> Path:
    """Write records as an annotation file."""
    path = folder / name
    path.write_text(json.dumps(list(records)))
    return path


def _message(path: Path, fps_file: Path | None = None) -> str:
    """Give what a refused load says after the path of the faulty file, which is left out."""
    with pytest.raises(AnnotationError) as caught:
        load_star(path, fps_file=fps_file)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(f"{path.parent}/", "")


def test_a_record_becomes_question_graph_and_programs(tmp_path: Path) -> None:
    """Every part of a record of the release is where a reader looks for it."""
    (item,) = load_star(_written(tmp_path, _record(clip="clips/x.mp4")))
    question = item.question
    assert (question.id, question.dataset, question.video_id) == ("Interaction_T1_13", "star", "6H78U")
    assert (question.type, question.template) == ("Interaction", "Interaction_T1")
    assert question.options == ("The book.", "The door.", "The bag.", "The box.")
    assert (question.answer, question.span, question.fps) == ("The book.", (1.0, 4.5), None)
    assert question.clip_file == "clips/x.mp4"
    assert item.graph is not None
    assert item.graph.actions == ("a021",)
    assert item.program is not None
    assert item.program[2] == Step("Filter_Actions_with_Verb", ("open",))
    assert item.choice_programs is not None
    assert item.choice_programs[1] == (Step("Equal", ("door",)),)


def test_a_file_may_be_a_single_record(tmp_path: Path) -> None:
    """One record that stands alone is read as a list of one."""
    path = tmp_path / "one.json"
    path.write_text(json.dumps(_record()))
    assert [i.question.id for i in load_star(path)] == ["Interaction_T1_13"]


def test_the_test_split_has_questions_only(tmp_path: Path) -> None:
    """Without answer, programs and situations a record still loads, with None in their place."""
    bare = _record(answer=None, question_program=None, situations=None)
    for choice in bare["choices"]:
        del choice["choice_program"]
    (item,) = load_star(_written(tmp_path, bare))
    assert (item.question.answer, item.graph, item.program, item.choice_programs) == (None,) * 4


@pytest.mark.parametrize(
    ("name", "kind", "template"),
    [
        ("Feasibility_T3_9", "Feasibility", "Feasibility_T3"),
        ("pre_Feasibility_T10_9", "Feasibility", "pre_Feasibility_T10"),
        ("anything", None, None),
    ],
)
def test_type_and_template_come_from_the_id(
    tmp_path: Path, name: str, kind: str | None, template: str | None
) -> None:
    """The pre-release's template labels keep their prefix; another form of id tells neither."""
    (item,) = load_star(_written(tmp_path, _record(question_id=name)))
    assert (item.question.type, item.question.template) == (kind, template)


def test_equal_choices_are_fine(tmp_path: Path) -> None:
    """Two choices may have one text."""
    choices = [_choice(0, "book"), _choice(1, "book"), _choice(2, "box")]
    (item,) = load_star(_written(tmp_path, _record(choices=choices)))
    assert item.question.options == ("The book.", "The book.", "The box.")


@pytest.mark.parametrize("place", ["classes/video_fps.json", "video_fps.json"])
def test_frame_rates_are_found_beside_the_annotation(tmp_path: Path, place: str) -> None:
    """Either usual place is looked up, and a video that is not listed has no rate."""
    rates = tmp_path / place
    rates.parent.mkdir(exist_ok=True)
    rates.write_text('{"6H78U.mp4": 17.653}')
    path = _written(tmp_path, _record(), _record(question_id="Interaction_T1_14", video_id="OTHER"))
    assert [i.question.fps for i in load_star(path)] == [17.653, None]


def test_a_given_file_of_frame_rates_wins(tmp_path: Path) -> None:
    """The file that is named is used, not the one beside the annotation."""
    (tmp_path / "video_fps.json").write_text('{"6H78U.mp4": 10}')
    (tmp_path / "mine.json").write_text('{"6H78U.mp4": 25}')
    (item,) = load_star(_written(tmp_path, _record()), fps_file=tmp_path / "mine.json")
    assert item.question.fps == 25.0


def _without(frame: dict[str, Any]) -> dict[str, Any]:
    """A record whose only frame is replaced."""
    return _record(situations={"000123": frame})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (_record(question=None), "record Interaction_T1_13: question: Field required"),
        (_record(question_id=None), "record 1: question_id: Field required"),
        (
            _record(start="1.0"),
            "record Interaction_T1_13: start: Input should be a valid number, found '1.0'",
        ),
        (
            _record(video_id=123),
            "record Interaction_T1_13: video_id: Input should be a valid string, found 123",
        ),
        (_record(end=0.5), "record Interaction_T1_13: end: 0.5 is not after start, 1.0"),
        (
            _record(choices=[]),
            "record Interaction_T1_13: choices: List should have at least 2 items after validation, "
            "not 0, found []",
        ),
        (
            _record(answer="The dog."),
            "record Interaction_T1_13: answer: 'The dog.' is none of the choices "
            "['The book.', 'The door.', 'The bag.', 'The box.']",
        ),
        (
            _record(choices=[_choice(0, "book"), {"choice": "The bag."}]),
            "record Interaction_T1_13: choices.1.choice_program: missing, other choices have one",
        ),
        (
            _record(question_program=[{"function": "Situations"}]),
            "record Interaction_T1_13: question_program.0.value_input: Field required",
        ),
        (
            _without({"bbox": [None] * 5, "bbox_labels": ["o017"] * 6}),
            "record Interaction_T1_13: situations 000123: bbox has 5 boxes for 6 labels",
        ),
        (
            _without({"bbox": [[1, 2, 3]], "bbox_labels": ["o017"]}),
            "record Interaction_T1_13: situations.000123.bbox.0.3: Field required",
        ),
        (
            _without({"actions": ["c020"]}),
            "record Interaction_T1_13: situations 000123: unknown action 'c020', STAR's are a000 to a110",
        ),
        (["no record"], "record 1: the record: Input should be"),
    ],
)
def test_a_faulty_record_is_named_with_its_field(tmp_path: Path, record: object, message: str) -> None:
    """A record that breaks the layout is refused with its id, the field and what was expected."""
    assert _message(_written(tmp_path, record)).startswith(f"star.json: {message}")


def test_a_duplicate_id_names_both_records(tmp_path: Path) -> None:
    """Ids are unique in a file."""
    path = _written(tmp_path, _record(), _record(question_id="x"), _record())
    assert _message(path) == "star.json: record Interaction_T1_13: duplicate id, at records 1 and 3"


def test_a_missing_file_is_named_with_the_mend(tmp_path: Path) -> None:
    """A path that is not there says so and what to give."""
    said = _message(tmp_path / "STAR_train.json")
    assert said == "STAR_train.json: no such file; give the path of STAR's annotation, such as STAR_val.json"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("star.txt", b"", "star.txt: STAR's annotation must be a .json or .csv file, not '.txt'"),
        ("star.json", b"[{", "star.json: not JSON (Expecting property name"),
        ("star.json", b"\xff\xfe", "star.json: not UTF-8 text"),
        ("star.json", b"3", "star.json: must hold a list of records, not int"),
        ("star.csv", b"video_name,question\n", "star.csv: no column question_id, answer_number, a0, a1;"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """A file that is not what its name says is told apart from one with a faulty record."""
    path = tmp_path / name
    path.write_bytes(content)
    assert _message(path).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "fps.json: not JSON ("),
        ("[]", "fps.json: must map ID.mp4 to frames per second, not list"),
        ('{"A.mp4": 0}', "fps.json: A.mp4: frames per second must be positive, found 0"),
        ('{"A.mp4": "30"}', "fps.json: A.mp4: frames per second must be positive, found '30'"),
        ('{"A.mp4": NaN}', "fps.json: A.mp4: frames per second must be positive, found nan"),
        (None, "fps.json: no such file; give --fps a JSON file that maps ID.mp4 to frames per second"),
    ],
)
def test_a_faulty_file_of_frame_rates_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    """The file of frame rates is checked whole before any question is made."""
    rates = tmp_path / "fps.json"
    if content is not None:
        rates.write_text(content)
    assert _message(_written(tmp_path, _record()), rates).startswith(message)


def _table(folder: Path, *rows: str) -> Path:
    """Write a table of questions."""
    path = folder / "val.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_a_table_gives_questions_without_graphs(tmp_path: Path) -> None:
    """Video ids stay text, the span comes from the video's name, and an empty number is no answer."""
    known = "1,00123_11.1_19.6,Which?,2,Interaction_T1_13,Interaction_T1,A.,B.,C.,D.,C."
    unknown = "2,00123_0_3.0,Which?,,Sequence_T1_1,Sequence_T1,A.,B.,C.,D.,"
    first, second = load_star(_table(tmp_path, known, unknown))
    assert first.question.video_id == "00123"
    assert first.question.span == (11.1, 19.6)
    assert first.question.answer == "C."
    assert first.question.type == "Interaction"
    assert second.question.answer is None
    assert (second.graph, second.program, second.choice_programs) == (None, None, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "1,00123,Which?,2,Q_1,T,A.,B.,C.,D.,C.",
            "record Q_1: video_name '00123' must be VIDEO_START_END (seconds)",
        ),
        (
            "1,V_0_3,Which?,4,Q_1,T,A.,B.,C.,D.,C.",
            "record Q_1: answer_number '4' must be 0 to 3, or empty",
        ),
        ("1,V_0_3,Which?,1,Q_1,T,A.,B.,C.,D.,C.", "record Q_1: answer 'C.' is not choice '1', 'B.'"),
        ("1,V_0_3,Which?,1,Q_1,T,A.,B.", "record Q_1: row 1 must have 11 fields"),
        ("1,V_5_3,Which?,1,Q_1,T,A.,B.,C.,D.,B.", "record Q_1: end: 3.0 is not after start, 5.0"),
    ],
)
def test_a_faulty_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    """A row that breaks the table's layout is refused with its id and the field."""
    assert _message(_table(tmp_path, row)) == f"val.csv: {message}"


def test_the_real_files_load_whole(data: Path) -> None:
    """The published records number 76, 12 and 1, each with graph, programs and a frame rate."""
    for name, count in (
        ("star_full_graphs.json", 76),
        ("star_thinned_graphs.json", 12),
        ("release_sample_WBS4I.json", 1),
    ):
        items = load_star(data / "star" / name)
        assert len(items) == count
        assert all(i.graph and i.program and i.choice_programs and i.question.fps for i in items)


def test_the_real_val_split_has_its_published_size(data: Path) -> None:
    """The val split holds 7,098 questions, counted by type as the benchmark reports them."""
    items = load_star(data / "star" / "STAR_val_qa.csv")
    assert Counter(i.question.type for i in items) == {
        "Interaction": 2398,
        "Sequence": 3586,
        "Prediction": 624,
        "Feasibility": 490,
    }
    assert items[0].question.fps == 17.653
    assert len(items) == 7098


@given(
    st.lists(
        st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())), max_size=5
    )
)
def test_records_of_a_list_are_those_of_the_whole(records: list[dict[str, object]]) -> None:
    """Reading a list record by record gives what reading it whole gives, however it is spaced."""
    for text in (json.dumps(records), json.dumps(records, indent=1), f" \n{json.dumps(records)}\n "):
        assert list(json_records(Path("x.json"), text)) == records


@pytest.mark.parametrize(
    "text", ["", "[", "[{}", "[{},]", "[{} {}]", "[{}]]", "[,]", "[{}] x", "3", '"x"', "{"]
)
def test_a_broken_list_of_records_is_refused(text: str) -> None:
    """What is not JSON, or not a list of records, is one line that names the file."""
    with pytest.raises(AnnotationError, match=r"^x\.json: [^\n]+$"):
        list(json_records(Path("x.json"), text))
