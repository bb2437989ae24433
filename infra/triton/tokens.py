"""The embedder's tokens, counted where texts are cut: by the same tokenizer.json that the embedder reads."""

from pathlib import Path

from tokenizers import Tokenizer

from schemas.errors import Invalid

PASSAGE_TOKENS = 254  # the embedder reads 256, two of which mark begin and end


class Tokens:
    """Counts and places of tokens, without the embedder's own marks."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Reads tokenizer.json; raises Invalid naming the setting."""
        if not path.is_file():
            raise Invalid(f"{path} is missing: set TURNLOG_EMBEDDER_TOKENIZER to the embedder's tokenizer.json")
        return cls(Tokenizer.from_file(str(path)))

    def count(self, text: str) -> int:
        """How many tokens the text is."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Begin and end of each token, in code points."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)
