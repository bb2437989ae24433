"""The producer: what it says of itself, and what it refuses."""

import asyncio
from dataclasses import replace

import pytest

from infra.kafka.publisher import Publisher
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.documents import DocumentIndexed
from schemas.errors import Invalid
from tests.examples import example
from topics.catalogue import DOCUMENT_STATUS


async def test_it_says_when_nothing_can_be_sent_any_more(settings: Settings) -> None:
    registry = RegistryClient(settings)
    async with Publisher.open(settings, Codec(registry)) as publisher:
        assert publisher.alive
        sender = publisher._producer._sender.sender_task
        sender.cancel()  # as an error that aiokafka does not mend does
        await asyncio.wait([sender])
        assert not publisher.alive
    await registry.close()


async def test_an_event_too_large_for_a_record_is_refused_before_anything_is_sent(settings: Settings) -> None:
    registry = RegistryClient(settings)
    await registry.load((DOCUMENT_STATUS,))
    async with Publisher.open(settings, Codec(registry)) as publisher:
        with pytest.raises(Invalid, match="a record holds 2097152"):
            await publisher.publish(DOCUMENT_STATUS, "k", replace(example(DocumentIndexed), outcome="x" * 2_097_152))
    await registry.close()
