"""What a document may be, whoever publishes it; the API and the admission of inboxes check the same."""

import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from infra.access import COLLECTION_ID, PRINCIPAL, READERS
from schemas.errors import Invalid

MEDIA_TYPES = ("text/plain", "text/markdown", "text/html", "application/pdf")  # each has a parser in streams/documents
DOCUMENT_ID = r"^[^\x00-\x1f\x7f]{1,512}$"
TITLE = r"^[^\x00-\x1f\x7f]{1,500}$"
URL_CHARACTERS = 2000


class Unfit(Invalid):
    """A document that will never be indexed as it is; `code` is stable, `reason` names cause and cure."""

    def __init__(self, stage: str, code: str, reason: str) -> None:
        super().__init__(reason)
        self.stage, self.code, self.reason = stage, code, reason


def refused(code: str, reason: str) -> Unfit:
    """Not admitted."""
    return Unfit("admit", code, reason)


def check_collection_id(collection_id: str) -> None:
    """Raises Unfit for an id that no collection can have."""
    if not re.fullmatch(COLLECTION_ID, collection_id):
        raise refused("unknown-collection", "a collection's id has lower-case letters, digits, . _ and -, at most 64")


def check_document_id(document_id: str) -> None:
    """Raises Unfit for an id that no document can have."""
    if not re.fullmatch(DOCUMENT_ID, document_id):
        raise refused("invalid-id", "a document's id has 1 to 512 characters, none of them a control character")


def media_type_of(given: str) -> str:
    """The media type with its charset, normalised; raises Unfit for one that nothing here parses."""
    kind, _, parameters = given.partition(";")
    kind = kind.strip().lower()
    if kind not in MEDIA_TYPES:
        raise refused("unsupported-media-type", f"{kind or 'nothing'}: publish {', '.join(MEDIA_TYPES)}")
    charset = re.search(r"charset\s*=\s*\"?([\w.:-]{1,40})", parameters, re.IGNORECASE)
    return f"{kind}; charset={charset[1].lower()}" if charset else kind


def check_words(title: str | None, url: str | None) -> None:
    """Raises Unfit for a title or a link that people could not be shown."""
    if title is not None and not re.fullmatch(TITLE, title):
        raise refused("invalid-title", "a title has 1 to 500 characters, none of them a control character")
    if url is None:
        return
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in ("http", "https") or len(url) > URL_CHARACTERS or not url.isprintable():
        raise refused(
            "invalid-url",
            f"a url begins with http:// or https://, is printable, and has at most {URL_CHARACTERS} characters",
        )


def readers_of(given: Sequence[str] | None, allowed: Collection[str] = ("*",)) -> list[str] | None:
    """The readers, each once, sorted; None: the collection's. Raises Unfit for what is no principal, or not allowed."""
    if given is None:
        return None
    if len(given) > READERS:
        raise refused("too-many-readers", f"{len(given)} readers; {READERS} are allowed: make a group of them")
    for reader in given:
        if not re.fullmatch(PRINCIPAL, reader):
            raise refused("invalid-reader", f"{reader[:100]!r} is no principal: write user:ID, group:NAME or public")
        if "*" not in allowed and reader not in allowed:
            raise refused(
                "reader-not-allowed", f"the inbox may not set {reader} as a reader: see its `readers` in inboxes.yaml"
            )
    return sorted(set(given))
