"""What is uploaded: bytes, or a file that may be larger than memory."""

from collections.abc import Iterator
from pathlib import Path

from turnlog.errors import TurnlogError

CHUNK_BYTES = 64 * 1024
Body = bytes | Path


def size_of(body: Body) -> int:
    """In bytes; raises OSError."""
    return body.stat().st_size if isinstance(body, Path) else len(body)


def chunks(body: Body, size: int) -> Iterator[bytes]:
    """Its first `size` bytes, piece by piece; raises TurnlogError for a file that has fewer by now."""
    if isinstance(body, bytes):
        yield from (body[start : start + CHUNK_BYTES] for start in range(0, size, CHUNK_BYTES))
        return
    left = size
    with body.open("rb") as file:
        while left:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise TurnlogError(f"{body} became shorter while it was read", "Send it once it changes no more.")
            left -= len(chunk)
            yield chunk
