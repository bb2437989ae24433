"""PDF: the text of each page, with bookmarks as headings where their words stand on the page."""

import re

import pypdfium2 as pdfium

from infra.documents import Unfit
from streams.documents.parsed import Heading, Page, Parsed

BROKEN_WORD = re.compile(r"(?<=\w)[\ufffe\u00ad\x02]\n?")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
LEVELS = 12


def parse_pdf(content: bytes, charset: str | None) -> Parsed:
    """Raises Unfit for a file that is protected or broken; a page without text is one of no characters."""
    del charset  # a PDF says itself what its characters are
    try:
        document = pdfium.PdfDocument(content)
    except pdfium.PdfiumError as exc:
        if "assword" in str(exc):
            raise Unfit("parse", "encrypted", "it is protected by a password: publish it without one") from exc
        raise Unfit("parse", "broken", f"this is no readable PDF ({str(exc)[:120]}): save it anew") from exc
    try:
        return _read(document)
    except pdfium.PdfiumError as exc:
        raise Unfit("parse", "broken", f"a page of it cannot be read ({str(exc)[:120]}): save it anew") from exc
    finally:
        document.close()


def _read(document: pdfium.PdfDocument) -> Parsed:
    texts, pages, at = [], [], 0
    for number in range(len(document)):
        text = _page_text(document[number])
        pages.append(Page(at, number + 1))
        texts.append(text)
        at += len(text) + 2
    title = CONTROL.sub("", document.get_metadata_value("Title") or "").strip()
    return Parsed("\n\n".join(texts), title or None, _bookmarks(document, texts, pages), pages)


def _page_text(page: pdfium.PdfPage) -> str:
    words = page.get_textpage()
    try:
        text = words.get_text_bounded().replace("\r\n", "\n").replace("\r", "\n")
    finally:
        words.close()
        page.close()
    return CONTROL.sub("", BROKEN_WORD.sub("", text)).strip("\n")


def _bookmarks(document: pdfium.PdfDocument, texts: list[str], pages: list[Page]) -> list[Heading]:
    """The bookmarks in reading order; one whose words are not on its page says nothing about a place."""
    found: dict[int, Heading] = {}
    done = [0] * len(texts)
    for bookmark in document.get_toc(max_depth=LEVELS):
        target, words = bookmark.get_dest(), " ".join(bookmark.get_title().split())
        index = target.get_index() if target is not None else None
        if not words or index is None or not 0 <= index < len(texts):
            continue
        place = re.compile(r"\s+".join(map(re.escape, words.split()))).search(texts[index], done[index])
        if place is not None:
            done[index] = place.end()
            start = pages[index].start + place.start()
            found[start] = Heading(start, pages[index].start + place.end(), bookmark.level + 1, words)
    return [found[start] for start in sorted(found)]
