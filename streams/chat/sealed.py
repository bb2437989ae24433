"""What was sealed is said: the record as it was sealed, then the end of the stream."""

from collections.abc import Awaitable, Callable

from infra.kafka.publisher import Publisher
from infra.waiting import until_available
from schemas.answers import AnswerEnded
from streams.chat.turns import Sealed
from topics.catalogue import ANSWERS, ANSWERS_LIVE

Reached = Callable[[str], Awaitable[None]]


async def nothing_happens(_point: str) -> None:
    """What happens at the points that tests break: nothing."""


class Say:
    """Says what is sealed, on the partition of a turn's request; waits for the broker as long as it takes."""

    def __init__(self, publisher: Publisher, reached: Reached = nothing_happens) -> None:
        self._publisher, self._reached = publisher, reached

    async def record(self, conversation_id: str, partition: int, sealed: Sealed) -> None:
        """The record, unless the views have it already."""
        encoded = sealed.record
        if encoded is not None:
            await until_available(
                "kafka",
                lambda: self._publisher.publish_bytes(ANSWERS, conversation_id, encoded, partition=partition),
            )
            await self._reached("recorded")

    async def end(self, conversation_id: str, partition: int, sealed: Sealed) -> None:
        """AnswerEnded: whoever misses text before it takes it from the record."""
        ended = AnswerEnded(
            turn_id=sealed.turn_id,
            attempt=sealed.attempt,
            seq=sealed.seq,
            length=sealed.length,
            status=sealed.status,
            reason=sealed.reason,
        )
        await until_available(
            "kafka", lambda: self._publisher.publish(ANSWERS_LIVE, conversation_id, ended, partition=partition)
        )
        await self._reached("ended")

    async def again(self, conversation_id: str, partition: int, sealed: Sealed) -> None:
        """Both: whoever sealed it may have died before it could."""
        await self.record(conversation_id, partition, sealed)
        await self.end(conversation_id, partition, sealed)
