"""What is found: judged sets, published through the inbox and asked through `/v1/search`, each arm alone and both.

A set is a folder: documents.jsonl (id, title, text), queries.jsonl (id, text), qrels.tsv (query, document, grade).
"""

import asyncio
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from benchmarks.documents import Inbox, inbox
from benchmarks.http import Connection
from benchmarks.target import Target

ARMS = ("words", "meaning", "both")
LIMIT, CLIENTS, INDEXED_SECONDS = 100, 2, 900
Grades = Mapping[str, int]


async def measure(target: Target, folder: Path, most: int) -> list[dict[str, Any]]:
    """nDCG@10 and Recall@100 of each arm; with more than `most` judged queries, evenly chosen ones."""
    qrels = _qrels(folder / "qrels.tsv")
    queries = {query["id"]: query["text"] for query in _lines(folder / "queries.jsonl") if query["id"] in qrels}
    chosen = list(queries)[:: -(-len(queries) // most)]
    async with inbox(target) as box:
        documents = await _publish(box, folder)
        rows = []
        for arm in ARMS:
            answers = await _ask(target, box.collection, {query: queries[query] for query in chosen}, arm)
            runs = {query: [documents[found] for found in answers[query]] for query in chosen}
            rows.append({"set": folder.name, "queries": len(chosen), "arm": arm, **_scores(qrels, runs)})
    return rows


async def _publish(box: Inbox, folder: Path) -> dict[str, str]:
    """Every document with words in it; gives the set's ids by ours."""
    ids = {}
    for document in _lines(folder / "documents.jsonl"):
        if document["text"].strip():
            ids[await box.publish(document["text"], document["title"].strip() or None)] = document["id"]
    await box.all_indexed(INDEXED_SECONDS)
    return ids


async def _ask(target: Target, collection: str, queries: Mapping[str, str], arm: str) -> dict[str, list[str]]:
    """The documents that each query finds, best first; a document stands where its best passage does."""
    waiting, found = iter(queries.items()), dict[str, list[str]]()

    async def one() -> None:
        connection = await Connection.open(target.api_url)
        for query, text in waiting:
            body = {"query": text, "collections": [collection], "limit": LIMIT, "by": arm}
            answer = (await connection.request("POST", "/v1/search", target.headers, orjson.dumps(body))).json()
            found[query] = list(dict.fromkeys(passage["document_id"] for passage in answer["passages"]))
        connection.close()

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return found


def _scores(qrels: Mapping[str, Grades], runs: Mapping[str, list[str]]) -> dict[str, float]:
    """As trec_eval: the grade is the gain, log2(rank + 1) the discount, what nobody judged is not relevant."""
    gains = [_ndcg(qrels[query], found) for query, found in runs.items()]
    recalls = [_recall(qrels[query], found) for query, found in runs.items()]
    return {"nDCG@10": round(sum(gains) / len(gains), 4), "Recall@100": round(sum(recalls) / len(recalls), 4)}


def _ndcg(grades: Grades, found: list[str]) -> float:
    ideal = sorted(grades.values(), reverse=True)[:10]
    return _dcg(grades.get(document, 0) for document in found[:10]) / _dcg(ideal)


def _dcg(gains: Iterable[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def _recall(grades: Grades, found: list[str]) -> float:
    return len(grades.keys() & set(found[:100])) / len(grades)


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    """The relevant documents of each query that has some."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for line in path.read_text().splitlines():
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            found[query][document] = int(grade)
    return found


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
