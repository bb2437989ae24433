"""Markdown that is still being written: what is printed for good is whole, and nothing of it gets lost."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from turnlog.commands.rendered import Rendered, markdown, whole_until
from turnlog.model import Delta, Restart

ANSWER = """# Pumps

The pump **stops** at two. [1]

1. first

   and more of it

2. second

```python
x = 1

y = 2
```

Then <b>nothing</b> & <script>alert(1)</script>.
"""


def shown(*texts: str) -> str:
    """The letters of the answer on a terminal that is no screen, so that what was drawn again is left out."""
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    rendered = Rendered(console)
    for text in texts:
        rendered.take(Delta(text=text))
    rendered.close()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(st.integers(0, len(ANSWER)))
def test_only_blocks_that_nothing_which_follows_can_change_are_printed_for_good(cut: int) -> None:
    whole = ANSWER[: whole_until(ANSWER[:cut])]
    assert whole == "" or whole.endswith("\n\n")
    assert whole.count("```") in (0, 2)
    assert not ANSWER[len(whole) :].startswith(" ")
    assert len(whole) <= whole_until(ANSWER)


def test_block_by_block_and_letter_by_letter_all_words_are_shown_once() -> None:
    words = [
        "Pumps",
        "stops",
        "[1]",
        "first",
        "and more of it",
        "second",
        "x = 1",
        "y = 2",
        "<b>nothing</b>",
        "<script>",
    ]
    for pieces in ([ANSWER], list(ANSWER)):
        found = shown(*pieces)
        assert [found.count(word) for word in words] == [1] * len(words)


def test_a_link_shows_where_it_leads() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(markdown("[my bank](http://evil.example)"))
    assert isinstance(console.file, io.StringIO)
    assert "http://evil.example" in console.file.getvalue()


def test_control_characters_of_an_answer_do_not_steer_the_terminal() -> None:
    assert "\x1b" not in shown("\x1b[2J\x1b]0;title\x07hello\n")


def test_after_a_restart_the_text_begins_anew() -> None:
    console = Console(file=io.StringIO(), width=80)
    rendered = Rendered(console)
    for item in (Delta(text="old"), Restart(), Delta(text="new")):
        rendered.take(item)
    rendered.close()
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().split() == [
        "[a",
        "worker",
        "was",
        "lost;",
        "the",
        "answer",
        "begins",
        "anew]",
        "new",
    ]
