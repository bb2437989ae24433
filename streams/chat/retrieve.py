"""Passages for a question, under the rights that its asker has now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.postgres.freshness import Freshness
from infra.postgres.pool import Pool, connection
from infra.settings import Settings
from retrieval.search import FoundPassage, Question
from retrieval.search import Search as Passages
from schemas.answers import Permissions, Retrieved, ShownPassage, ViewOffset
from schemas.errors import Refused
from schemas.event import Content
from streams.chat.prepare import Found, Look, Passage, Search
from streams.chat.prompt import Quoted
from topics.catalogue import ACCESS_CHANGES, DOCUMENTS

RIGHTS = "select app.principals_of(%s), app.is_deleted_conversation(%s)"  # one round trip: every turn asks


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


async def permissions_of(claims: Pool, freshness: Freshness, user_id: str, conversation_id: str) -> Permissions:
    """What a user may read now, and how fresh the views are that say so.

    Raises Refused for nobody, and in a conversation that was deleted.
    """
    folded = freshness.offsets((ACCESS_CHANGES, DOCUMENTS))
    async with connection(claims) as db:
        row = await (await db.execute(RIGHTS, [user_id, conversation_id])).fetchone()
    if row is None or not row[0]:
        raise Refused("there is no such user, or it is switched off")
    if row[1]:
        raise Refused("the conversation was deleted")
    views = [ViewOffset(topic=topic, partition=n, offset=offset) for (topic, n), offset in sorted(folded.items())]
    return Permissions(user_id=user_id, principals=sorted(row[0]), views=views)
