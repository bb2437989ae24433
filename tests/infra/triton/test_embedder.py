"""The embedder of a real Triton: vectors that depend on nothing but their text, and questions that go first."""

import asyncio
import uuid

import numpy as np
import pytest

from infra.settings import Settings
from infra.triton.embedder import Embedder
from schemas.errors import Unavailable
from tests.servers import Servers

PAIRS = [
    ("How do I reset my password?", "What are the steps to recover my account password?"),
    ("The cat sits on the mat.", "A feline is resting on a rug."),
    ("Refunds are issued within 14 days.", "You get your money back in two weeks."),
]
ODD = ["", "a", "ünïcödé 你好 \U0001f600 café", "x" * 300, "one two three " * 200, "nul \0 inside"]


async def test_texts_that_mean_the_same_lie_closer_than_others(servers: Servers) -> None:
    async with Embedder.open(servers.settings) as embedder:
        vectors = await embedder.embed([text for pair in PAIRS for text in pair])
    assert vectors.shape == (6, 384)
    assert vectors.dtype == np.float32
    close = vectors @ vectors.T
    for first in (0, 2, 4):
        others = [close[first, other] for other in range(6) if other not in (first, first + 1)]
        assert close[first, first + 1] > 0.5 > max(others)


async def test_a_vector_depends_on_nothing_but_its_text(servers: Servers) -> None:
    texts = [f"{text} {uuid.uuid4()}" for text in ODD] + ODD
    async with Embedder.open(servers.settings) as embedder:
        together = await embedder.embed(texts, "ingest")
        alone = np.stack([(await embedder.embed([text]))[0] for text in reversed(texts)])[::-1]
    assert np.array_equal(together, alone)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


async def test_no_texts_no_vectors(servers: Servers) -> None:
    async with Embedder.open(servers.settings) as embedder:
        assert len(await embedder.embed([])) == 0


async def test_a_question_does_not_wait_for_a_backfill(servers: Servers) -> None:
    """32 passages wait in Triton's queue; in the order of arrival a question would be answered after them."""
    passages = [f"{uuid.uuid4()} " + "passage " * 40 for _ in range(32)]
    async with Embedder.open(servers.settings) as embedder, Embedder.open(servers.settings) as asking:
        await asking.embed([f"a first one, to connect {uuid.uuid4()}"])
        backfill = [asyncio.create_task(embedder.embed([passage], "ingest")) for passage in passages]
        await asyncio.wait(backfill, return_when=asyncio.FIRST_COMPLETED)
        await asking.embed([f"question {uuid.uuid4()}"])
        assert sum(task.done() for task in backfill) < len(passages) / 2
        await asyncio.gather(*backfill)


async def test_a_proxy_of_the_environment_is_not_asked_for_triton(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with Embedder.open(servers.settings) as embedder:
        assert len(await embedder.embed([f"a word {uuid.uuid4()}"], deadline_seconds=60)) == 1


async def test_a_server_that_is_away_is_unavailable(servers: Servers) -> None:
    away = Settings(**servers.settings.model_dump() | {"triton_grpc": "127.0.0.1:1"})
    async with Embedder.open(away) as embedder:
        with pytest.raises(Unavailable, match="embedder is unavailable"):
            await embedder.embed(["a", "b"])


async def test_no_answer_within_the_deadline_is_unavailable(servers: Servers) -> None:
    async with Embedder.open(servers.settings) as embedder:
        with pytest.raises(Unavailable, match="Deadline Exceeded"):
            await embedder.embed([f"{uuid.uuid4()} " * 100], deadline_seconds=0.001)


async def test_readiness_asks_the_model_and_not_its_cache(servers: Servers) -> None:
    async with Embedder.open(servers.settings) as embedder:
        await embedder.check(60)
        with pytest.raises(Unavailable):
            await embedder.check(0.0001)
