"""Passages for a question, under the rights that its asker has now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.postgres.pool import Pool
from infra.settings import Settings
from retrieval.search import FoundPassage, Question
from retrieval.search import Search as Passages
from schemas.answers import Retrieved, ShownPassage
from schemas.event import Content
from streams.chat.prepare import Found, Look, Passage, Search
from streams.chat.prompt import Quoted


@asynccontextmanager
async def open_search(settings: Settings, reading: Pool) -> AsyncIterator[Search]:
    """A search as the user of each turn; `reading` is a pool of the role api."""
    async with Passages.open(settings, reading) as passages:

        async def search(look: Look) -> Found:
            question = Question(text=look.query, limit=look.passages, collections=look.collections)
            found = await passages.search(question, look.user_id, look.principals)
            retrieved = Retrieved(
                query=Content.of(look.query),
                hits=found.hits,
                walled=found.walled,
                returned=found.returned,
                incomplete=found.incomplete,
            )
            return Found([passage_of(each) for each in found.passages], retrieved)

        yield search


def passage_of(found: FoundPassage) -> Passage:
    """A hit as the prompt and the record know it; its number is given when it is shown."""
    hit = found.hit
    quoted = Quoted(text=hit.text, title=hit.title, page=hit.page, heading=hit.heading)
    shown = ShownPassage(
        number=0,
        collection_id=hit.collection_id,
        document_id=hit.document_id,
        version=hit.version,
        passage=hit.passage,
        title=hit.title,
        page=hit.page,
        start=hit.start,
        end=hit.end,
        heading=list(hit.heading),
        score=hit.score,
        score_text=hit.words,
        score_vector=hit.meaning,
    )
    return Passage(quoted, shown)
