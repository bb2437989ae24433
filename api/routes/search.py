"""/v1/search: the passages that answer best, among those that the caller may read."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Searches
from api.fields import Body, CollectionId, Sent
from api.limits import check_question
from api.problems import Problem
from api.readable import check_readable
from api.services import Opened
from retrieval.query import By
from retrieval.search import FoundPassage, Question

router = APIRouter(prefix="/v1/search", tags=["search"])
WORDS = r"^[^\x00]*\S[^\x00]*$"


class NewSearch(Body):
    """What is looked for. `collections` null: all that the caller reads. `by`: one arm alone, to see what it does."""

    query: str = Field(pattern=WORDS)
    collections: list[CollectionId] | None = Field(default=None, max_length=4096)
    limit: int = Field(default=8, ge=1)
    by: By = "both"


class Why(BaseModel):
    """Which arms found a passage, and why the caller may read it."""

    found_by: list[Literal["words", "meaning"]]
    readable_as: list[str] = Field(description="`collection`, or which of the document's own readers")


class SearchedPassage(BaseModel):
    """A span [start, end) of a document's text in code points, with its scores."""

    collection_id: str
    document_id: str
    version: int
    passage: int
    title: str | None
    url: str | None
    page: int | None
    heading: list[str]
    start: int
    end: int
    text: str
    score: float = Field(
        description="both arms, each min-max normalised, in their weighted mean: 0 to 1; `by` one arm: that arm's score"
    )
    score_text: float | None = Field(description="BM25; null: the words do not occur")
    score_vector: float | None = Field(description="(1 + cosine) / 2; null: not among the nearest")
    why: Why


class SearchResult(BaseModel):
    """Passages, best first. `walled`: hits that the second check held back; `incomplete`: why some may be missing."""

    passages: list[SearchedPassage]
    hits: int
    walled: int
    returned: int
    incomplete: str | None


@router.post("")
async def search(new: Sent[NewSearch], caller: Searches, services: Opened) -> SearchResult:
    """Finds passages by words (BM25) and by meaning (k-NN) in one query, as the caller's rights are now."""
    limits = services.settings.limits
    check_question(new.query, limits)
    if new.limit > limits.search_passages:
        raise Problem(422, "invalid", f"limit: {new.limit} passages; {limits.search_passages} at once are allowed")
    await check_readable(services, caller, new.collections)
    question = Question(text=new.query, limit=new.limit, collections=new.collections, by=new.by)
    found = await services.search.search(question, caller.user_id, caller.principals)
    return SearchResult(
        passages=[_shown(passage, caller.principals) for passage in found.passages],
        hits=found.hits,
        walled=found.walled,
        returned=found.returned,
        incomplete=found.incomplete,
    )


def _shown(found: FoundPassage, principals: frozenset[str]) -> SearchedPassage:
    hit = found.hit
    arms: dict[Any, float | None] = {"words": hit.words, "meaning": hit.meaning}
    readable_as = sorted(principals & set(hit.readers)) if hit.readers is not None else ["collection"]
    return SearchedPassage(
        collection_id=hit.collection_id,
        document_id=hit.document_id,
        version=hit.version,
        passage=hit.passage,
        title=hit.title,
        url=found.url,
        page=hit.page,
        heading=hit.heading,
        start=hit.start,
        end=hit.end,
        text=hit.text,
        score=hit.score,
        score_text=hit.words,
        score_vector=hit.meaning,
        why=Why(found_by=[arm for arm, score in arms.items() if score is not None], readable_as=readable_as),
    )
