"""The index of passages, and the only place where a k-NN mapping is made."""

from typing import Any

from infra.settings import Settings
from schemas.errors import Invalid

DIMENSIONS = 384
ANY_READER = "*"  # stands in `readers` of a passage whose document names none of its own; no principal is spelt so
WEIGHTS = (0.53, 0.47)  # words, meaning; tuned together with retrieval/query.py, see docs/decisions.md

Json = dict[str, Any]


def index_name(settings: Settings, number: int) -> str:
    """The name of index N of an installation."""
    return f"{settings.namespace}passages-{number}"


def pipeline_name(settings: Settings) -> str:
    """The name of the search pipeline of an installation."""
    return f"{settings.namespace}hybrid"


def knn_vector(dimensions: int) -> Json:
    """A k-NN field. Another engine, or a mapping without a method, would end a node that has no native libraries."""
    field: Json = {
        "type": "knn_vector",
        "dimension": dimensions,
        "method": {
            "name": "hnsw",
            "engine": "lucene",
            "space_type": "cosinesimil",
            "parameters": {"m": 16, "ef_construction": 100},
        },
    }
    if field["method"]["engine"] != "lucene" or field["method"]["name"] != "hnsw":
        raise Invalid("k-NN fields are hnsw with engine lucene here: see docs/decisions.md")
    return field


def passages_body(refresh_interval: str, pipeline: str) -> Json:
    """Settings and mappings of an index of passages; unknown fields are refused."""
    stored = {"index": False, "doc_values": False}
    return {
        "settings": {
            "index": {
                "knn": True,
                "number_of_shards": 1,
                "auto_expand_replicas": "0-1",
                "refresh_interval": refresh_interval,
                "search.default_pipeline": pipeline,
            }
        },
        "mappings": {
            "dynamic": "strict",
            "_source": {"excludes": ["embedding"]},
            "properties": {
                "collection": {"type": "keyword"},
                "document": {"type": "keyword"},
                "version": {"type": "long"},
                "passage": {"type": "integer", **stored},
                "readers": {"type": "keyword"},
                "title": {"type": "text", "analyzer": "english"},
                "heading": {"type": "text", "analyzer": "english"},
                "body": {"type": "text", "analyzer": "english"},
                "page": {"type": "integer", **stored},
                "start": {"type": "integer", **stored},
                "end": {"type": "integer", **stored},
                "embedding": knn_vector(DIMENSIONS),
            },
        },
    }


def pipeline_body(weights: tuple[float, float]) -> Json:
    """Min-max normalisation of both arms, then their weighted mean; weights: words, meaning."""
    combination = {"technique": "arithmetic_mean", "parameters": {"weights": list(weights)}}
    return {
        "phase_results_processors": [
            {"normalization-processor": {"normalization": {"technique": "min_max"}, "combination": combination}}
        ]
    }
