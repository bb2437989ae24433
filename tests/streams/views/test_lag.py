"""How far the views are, as an operator sees it: with nobody who folds, and with somebody."""

import asyncio
import json

import pytest

from infra.access import record_key
from infra.kafka.publisher import Publisher
from infra.postgres.freshness import Freshness, end_offsets
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.access import UserCreated
from schemas.codec import Codec
from schemas.errors import Unavailable
from streams.views.folds import FOLDS
from streams.views.lag import views_status
from tests.api.house import folding
from tests.streams.views.operating import turnlog
from topics.catalogue import ACCESS_CHANGES


async def test_the_lag_is_shown_per_partition_and_whether_somebody_folds(settings: Settings) -> None:
    topics = [fold.topic for fold in FOLDS]
    assert (await views_status(settings)).folding is False
    registry = RegistryClient(settings)
    await registry.load((ACCESS_CHANGES,))
    async with Publisher.open(settings, Codec(registry)) as publisher:
        event = UserCreated(user_id="ann", name="Ann", created_by="test")
        position = await publisher.publish(ACCESS_CHANGES, record_key(event), event)
    await registry.close()
    code, out, err = await turnlog(settings, "views", "status")
    assert code == 1
    assert "No worker folds" in err
    line = next(line.split() for line in out.splitlines() if f"access-changes/{position.partition} " in line)
    assert (line[1], line[2] == line[3], line[3] != "0") == ("0", True, True)
    async with folding(settings), Freshness.open(settings, "views") as freshness:
        assert await freshness.wait_for_all(await end_offsets(settings, topics), 60)
        code, out, err = await turnlog(settings, "views", "status", "--json")
        told = json.loads(out)
        assert (code, told["folding"], told["lag"]) == (0, True, 0), err
        assert len(told["partitions"]) == sum(topic.partitions for topic in topics)
    async with asyncio.timeout(60):
        while (await views_status(settings)).folding:  # the server ends its connection a little later
            await asyncio.sleep(0.01)


async def test_without_a_database_it_says_so_at_once(settings: Settings) -> None:
    with pytest.raises(Unavailable, match="postgres"):
        await views_status(settings.model_copy(update={"postgres_port": 9}))
