"""An installation whose views are folded, with a collection of ann's and one of bob's, and what admission needs.

And one with its doors open and its workers running, for those who publish from outside."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from infra.access import record_key
from infra.inboxes import Inbox
from infra.kafka.records import Outputs, Received
from infra.postgres.freshness import Freshness
from infra.settings import Settings
from schemas.access import CollectionCreated, UserCreated
from schemas.documents import DocumentPublished, DocumentRetracted
from schemas.errors import Invalid
from schemas.event import Event
from streams.inboxes.admit import Needs, admit_published, admit_retracted, refuse
from streams.inboxes.collections import Collections
from tests.api.house import SECONDS, House, folding, open_house
from tests.faults.turns.processes import Processes
from tests.streams.conftest import Stand
from tests.workers import working
from topics.catalogue import ACCESS_CHANGES

Place = tuple[str, int, int, bytes, int]
ANN = Inbox(name="local", owner="ann", collections=["papers", "notes", "nowhere"], readers=["group:staff", "public"])
ANY = Inbox(name="local", owner="ann")


@dataclass
class Desk:
    """Where records are admitted, one after another, each at its own offset."""

    stand: Stand
    needs: Needs
    freshness: Freshness
    offset: int = 0

    async def tell(self, *events: Event) -> None:
        """Changes rights, and waits until the views know."""
        for event in events:
            position = await self.stand.publisher.publish(ACCESS_CHANGES, record_key(event), event)
            end = {(ACCESS_CHANGES.name, position.partition): position.offset + 1}
            assert await self.freshness.wait_for_all(end, SECONDS)

    async def admit(self, event: DocumentPublished | DocumentRetracted, inbox: Inbox = ANY) -> Event:
        """What comes of a record: the one event that admission says."""
        self.offset += 1
        place = (inbox.topic.name, 3, self.offset, b"key", 1_700_000_000_000)
        try:
            outputs = await self._admitted(event, inbox, place)
        except (Invalid, RuntimeError) as exc:
            outputs = await refuse(Received(event, *place), exc)
        (output,) = outputs
        said = output.event
        assert output.key == f"{said.collection_id}/{said.document_id}"  # type: ignore[attr-defined]
        return said

    async def _admitted(self, event: DocumentPublished | DocumentRetracted, inbox: Inbox, place: Place) -> Outputs:
        if isinstance(event, DocumentPublished):
            return await admit_published(Received(event, *place), inbox, self.needs)
        return await admit_retracted(Received(event, *place), inbox, self.needs)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def desk(stand: Stand) -> AsyncIterator[Desk]:
    """Opened once a module."""
    settings = stand.settings
    async with folding(settings), Freshness.open(settings, "documents") as freshness:
        made = Desk(stand, Needs(stand.db, stand.objects, Collections(settings, stand.db, freshness)), freshness)
        await made.tell(
            UserCreated(user_id="ann", name="Ann", created_by="test"),
            CollectionCreated(collection_id="papers", name="Papers", owner="ann", readers=[]),
            CollectionCreated(collection_id="bobs", name="Bob's", owner="bob", readers=["public"]),
        )
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """API and views, and `admin`, whose the inbox is, with the collection `handbook`."""
    async with open_house(settings) as opened:
        await opened.user("admin")
        await opened.access(CollectionCreated(collection_id="handbook", name="Handbook", owner="admin", readers=[]))
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def workers(house: House, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Processes]:
    """Admission and indexing."""
    async with working(house.settings, tmp_path_factory.mktemp("workers"), "inboxes", "documents") as processes:
        yield processes
