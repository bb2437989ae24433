"""The embedder's tokens, counted where texts are cut: by the same tokenizer.json that the embedder reads."""

from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from schemas.errors import Invalid

PASSAGE_TOKENS = 254  # the embedder reads 256, two of which mark begin and end
TOKEN_CHARACTERS = 32  # a token stands for no more: an endless word, or white space, counts by this
REMEMBERED, REMEMBERED_CHARACTERS = 1000, 16_000  # counts, of texts of at most so many characters


class Tokens:
    """Counts and places of tokens, without the embedder's own marks."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._counted = lru_cache(REMEMBERED)(self._count)  # turns of a conversation are counted again and again

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Reads tokenizer.json; raises Invalid naming the setting."""
        if not path.is_file():
            raise Invalid(f"{path} is missing: set TURNLOG_EMBEDDER_TOKENIZER to the embedder's tokenizer.json")
        return cls(Tokenizer.from_file(str(path)))

    def count(self, text: str) -> int:
        """How many tokens the text is."""
        return self._counted(text) if len(text) <= REMEMBERED_CHARACTERS else self._count(text)

    def _count(self, text: str) -> int:
        """An endless word is one unknown token to the embedder, but not to the model that is sent it."""
        return max(len(self._tokenizer.encode(text, add_special_tokens=False)), len(text) // TOKEN_CHARACTERS)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Begin and end of each token, in code points."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)
