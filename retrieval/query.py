"""The one place that builds queries of passages: what is searched for, and whose eyes it is for."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy import float32
from numpy.typing import NDArray

from infra.opensearch.mapping import ANY_READER

By = Literal["both", "words", "meaning"]
FIELDS = ["title^3", "heading", "body"]
SOURCE = {"excludes": ["embedding"]}
MOST_WORDS = 300  # of a question in the words arm: each is a clause a field, and a query may have 1,024
WORD = re.compile(r"[A-Za-z0-9_]+|[^\x00-\x7f]")  # at least as many as the analyser makes: of other scripts each letter


@dataclass(frozen=True)
class Readable:
    """Whose eyes a query is for. `without`: documents (collection, id) that the wall holds back anyway."""

    collections: Collection[str]
    principals: Collection[str]
    without: Sequence[tuple[str, str]] = ()


def passages_query(
    text: str, vector: NDArray[float32], readable: Readable, size: int, depth: int, by: By = "both"
) -> dict[str, Any]:
    """The body of a search: BM25 and k-NN, each with the same filter, normalised and joined by the index's pipeline.

    The filter is not a clause around `hybrid`: there OpenSearch accepts it and returns raw scores.
    """
    seen = permission_filter(readable)
    most = max(depth, size)  # below the cut of one arm, a hit counts as nothing in the mean
    words: dict[str, Any] = {
        "bool": {
            "_name": "words",
            "must": [{"combined_fields": {"query": first_words(text), "fields": FIELDS}}],
            "filter": seen,
        }
    }
    nearest: dict[str, Any] = {
        "knn": {"embedding": {"vector": vector, "k": most, "filter": {"bool": {"filter": seen}}}}
    }
    meaning: dict[str, Any] = {"bool": {"_name": "meaning", "must": [nearest]}}
    arms = {"words": words, "meaning": meaning}
    query = arms.get(by) or {"hybrid": {"pagination_depth": most, "queries": [words, meaning]}}
    return {"size": size, "_source": SOURCE, "track_total_hits": False, "query": query}


def first_words(text: str) -> str:
    """A question as the words arm asks it: whole, or of a long one the first distinct words."""
    if len(WORD.findall(text)) <= MOST_WORDS:
        return text
    kept: list[str] = []
    left = MOST_WORDS
    for word in dict.fromkeys(text.split()):
        left -= len(WORD.findall(word))
        if left < 0:
            break
        kept.append(word)
    return " ".join(kept) or text[:MOST_WORDS]


def permission_filter(readable: Readable) -> list[dict[str, Any]]:
    """A readable collection, and no readers of its own (`*` stands for that) or one of the caller's principals."""
    clauses: list[dict[str, Any]] = [
        {"terms": {"collection": sorted(readable.collections)}},
        {"terms": {"readers": [ANY_READER, *sorted(readable.principals)]}},
    ]
    if readable.without:
        not_these = [
            {"bool": {"filter": [{"term": {"collection": collection}}, {"term": {"document": document}}]}}
            for collection, document in readable.without
        ]
        clauses.append({"bool": {"must_not": not_these}})
    return clauses
