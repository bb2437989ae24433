"""Tokens as the embedder counts them."""

from pathlib import Path

import pytest

from infra.triton.tokens import Tokens
from schemas.errors import Invalid
from tests.servers import Servers


@pytest.fixture(scope="module")
def tokens(servers: Servers) -> Tokens:
    """The tokenizer of the servers' embedder."""
    return Tokens.read(servers.settings.embedder_tokenizer)


def test_tokens_are_counted_beyond_what_the_embedder_reads(tokens: Tokens) -> None:
    assert tokens.count("") == 0
    assert tokens.count("the cat sat") == 3
    assert tokens.count("cat " * 1000) == 1000


def test_spans_are_in_code_points(tokens: Tokens) -> None:
    text = "\U0001f600 héllo 你好"
    assert [text[begin:end] for begin, end in tokens.spans(text)] == ["\U0001f600", "héllo", "你", "好"]


def test_a_missing_tokenizer_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="TURNLOG_EMBEDDER_TOKENIZER"):
        Tokens.read(tmp_path / "tokenizer.json")
