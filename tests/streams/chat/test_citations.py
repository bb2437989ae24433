"""Markers that name no shown passage never get out, however the pieces are cut."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.answers import Citation
from streams.chat.citations import _MARKER, Citations

answers = st.lists(
    st.sampled_from(
        ["word", " ", "[", "]", "1", "2", "9", "12", ",", "[1]", " [2]", "[9]", "[1, 9]", "\n", "é", "😀", "."]
    ),
    max_size=40,
).map("".join)


def cited(pieces: list[str], shown: int = 3) -> tuple[str, list[Citation]]:
    filtering = Citations(shown)
    came = [filtering.feed(piece) for piece in pieces] + [filtering.end()]
    return "".join(each.text for each in came), [citation for each in came for citation in each.citations]


def test_a_marker_of_a_shown_passage_stays_and_is_a_citation_at_its_place() -> None:
    assert cited(["Twenty-five days [1]."]) == ("Twenty-five days [1].", [Citation(number=1, position=17)])


def test_a_marker_of_no_shown_passage_goes_with_the_space_before_it() -> None:
    assert cited(["Forty days [4] or so [0]."]) == ("Forty days or so.", [])


def test_of_several_numbers_in_one_marker_only_the_shown_stay() -> None:
    assert cited(["Both [1, 9,3]."]) == (
        "Both [1, 3].",
        [Citation(number=1, position=5), Citation(number=3, position=5)],
    )


def test_a_marker_within_another_leaves_none_behind_that_nobody_checked() -> None:
    assert cited(["[[9]2]"]) == ("[  2]", [])
    assert cited(["x [1,[8]2]"]) == ("x [1,  2]", [])
    assert cited(["[ [9]1] [1]"]) == ("[  1] [1]", [Citation(number=1, position=6)])


def test_a_marker_split_over_pieces_is_held_until_whole() -> None:
    filtering = Citations(2)
    assert [filtering.feed(piece).text for piece in ("so", " ", "[", "2", "]", " and")] == [
        "so",
        "",
        "",
        "",
        " [2]",
        " and",
    ]


def test_brackets_that_cannot_be_a_marker_are_not_held() -> None:
    assert Citations(2).feed("see [a").text == "see [a"
    assert Citations(2).feed("[" + "1 " * 30).text.startswith("[1 1 1")


def test_positions_count_code_points_of_what_was_sent() -> None:
    assert cited(["😀 [9]é [2]"]) == ("😀é [2]", [Citation(number=2, position=3)])


@given(answer=answers, data=st.data())
def test_any_split_into_pieces_gives_the_same_text_and_citations(answer: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    pieces = [answer[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    assert cited(pieces) == cited([answer])


@given(answer=answers)
def test_every_citation_stands_in_the_text_where_it_says(answer: str) -> None:
    text, citations = cited([answer])
    for citation in citations:
        marker = text[citation.position : text.index("]", citation.position) + 1]
        assert str(citation.number) in marker.strip("[]").replace(" ", "").split(",")


@given(answer=answers | st.text("[]12 9,", max_size=30), data=st.data())
def test_no_marker_gets_out_that_is_no_citation(answer: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    text, citations = cited([answer[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)])
    found = [
        Citation(number=int(number), position=marker.start(1) - 1)
        for marker in _MARKER.finditer(text)
        for number in marker[1].split(",")
    ]
    assert found == citations
