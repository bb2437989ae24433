"""How far each partition is folded: kept beside what was folded, moved by compare-and-set."""

from infra.postgres.freshness import Offsets
from infra.postgres.pool import Connection
from schemas.errors import Invalid
from topics.catalogue import Topic


class Fenced(Exception):
    """Another worker moved our offsets: what this one knows is old."""


async def known_offsets(db: Connection, topics: tuple[Topic, ...], ids: dict[str, str]) -> Offsets:
    """Where to go on, per partition; raises Invalid when a topic is another than the one that was folded."""
    for topic in topics:
        await db.execute(
            "insert into offsets (topic, partition, next_offset, topic_id) "
            "select %s, n, 0, %s from generate_series(0, %s) n on conflict do nothing",
            [topic.name, ids[topic.name], topic.partitions - 1],
        )
    return await folded_offsets(db, ids)


async def folded_offsets(db: Connection, ids: dict[str, str]) -> Offsets:
    """How far some topics are folded; raises Invalid when one is another than the one that was folded."""
    rows = await db.execute("select topic, partition, next_offset, topic_id from offsets")
    found: Offsets = {}
    async for name, partition, next_offset, topic_id in rows:
        if name in ids and topic_id != ids[name]:
            raise Invalid(
                f"the topic {name} was made anew (its id is {ids[name]}, the one folded had {topic_id}): the offsets "
                "noted mean nothing in it. Restore the topic, or drop the database and have it folded from the new log"
            )
        if name in ids:
            found[name, partition] = next_offset
    return found


async def move_offsets(db: Connection, ids: dict[str, str], was: Offsets, moved: Offsets) -> None:
    """Compare-and-set on every offset of a batch; raises Fenced when another worker was faster."""
    rows = [(topic, partition, was[topic, partition], to, ids[topic]) for (topic, partition), to in moved.items()]
    done = await db.execute(
        "update offsets o set next_offset = n.next from "
        "unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::text[]) n(topic, partition, was, next, id) "
        "where o.topic = n.topic and o.partition = n.partition and o.next_offset = n.was and o.topic_id = n.id",
        [list(column) for column in zip(*rows, strict=True)],
    )
    if done.rowcount != len(rows):
        raise Fenced("another views worker moved the offsets")
