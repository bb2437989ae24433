"""A reader may leave whenever it likes, and come back to any replica, at any time: it has every character once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest_asyncio

from infra.settings import Settings
from tests.api.house import House, open_house, serving, until_ready
from tests.chatting import SECONDS, Said, answering, ask, conversation, ended, follow, joined, words

COUNT = 40
QUESTION = f"words: count={COUNT} delay_ms=10"
SHORT_SECONDS = 1.0
CLOSED_SECONDS = 20.0


@dataclass
class Replicas:
    """Two replicas of the API, and one person's clients to them."""

    house: House
    anna: list[httpx.AsyncClient]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicas(settings: Settings) -> AsyncIterator[Replicas]:
    """A house with a second replica; both forget ended answers after a second."""
    limits = settings.limits.model_copy(update={"ended_answers_seconds": SHORT_SECONDS})
    settings = settings.model_copy(update={"limits": limits})
    async with open_house(settings) as house, answering(settings), serving(settings) as second:
        await until_ready(second)
        anna = await house.user("anna")
        other = await house.client(anna.headers["authorization"].removeprefix("Bearer "), second)
        yield Replicas(house, [anna, other])


async def leave_after_each(clients: list[httpx.AsyncClient], turn_id: str) -> list[Said]:
    """Everything a reader hears that drops its connection after every delta, and goes to the other replica."""
    heard: list[Said] = []
    last: str | None = None
    while not heard or heard[-1].kind != "ended":
        client = clients[len(heard) % len(clients)]
        found = await follow(client, turn_id, last, until=lambda said: said.kind == "delta")
        heard += [said for said in found if said.kind != "queued"]
        last = next((said.id for said in reversed(found) if said.id), last)
    return heard


def check_nothing_twice(heard: list[Said], text: str) -> None:
    """Joined, it is the whole text; and each event lies after the one before."""
    assert joined(heard) == text
    places = [said.place for said in heard if said.id]
    assert places == sorted(set(places))
    assert heard[-1].data["length"] == len(text)


async def test_a_stream_says_the_whole_answer_once(replicas: Replicas) -> None:
    anna = replicas.anna[0]
    turn_id = await ask(anna, await conversation(anna), QUESTION)
    heard = await follow(anna, turn_id)
    assert heard[0].kind == "queued"
    assert heard[0].id == "0.0.0"
    check_nothing_twice(heard[1:], words(COUNT))
    record = await ended(anna, turn_id)
    assert record["answer"] == words(COUNT)
    assert 1 <= record["pieces"] <= COUNT  # words that are late come together


async def test_a_reader_that_leaves_after_every_delta_of_a_running_answer_misses_nothing(replicas: Replicas) -> None:
    turn_id = await ask(replicas.anna[0], await conversation(replicas.anna[0]), QUESTION)
    heard = await leave_after_each(replicas.anna, turn_id)
    check_nothing_twice(heard, words(COUNT))
    assert len([said for said in heard if said.kind == "delta"]) > 5, "it was never dropped in the middle"


async def test_an_ended_answer_goes_on_from_every_place_while_it_is_kept_and_after(replicas: Replicas) -> None:
    turn_id = await ask(replicas.anna[0], await conversation(replicas.anna[0]), QUESTION)
    whole = await follow(replicas.anna[0], turn_id)
    await check_every_place(replicas.anna, turn_id, whole)
    await follow(replicas.anna[0], await ask(replicas.anna[0], await conversation(replicas.anna[0]), LONGER))
    await check_every_place(replicas.anna, turn_id, whole)


LONGER = f"words: count=10 delay_ms={round(SHORT_SECONDS * 250)}"  # by its end the earlier answer is forgotten


async def check_every_place(clients: list[httpx.AsyncClient], turn_id: str, whole: list[Said]) -> None:
    """From each event that a reader can have heard last, on each replica, the rest is exactly what it misses."""
    for n, said in enumerate(whole[:-1]):
        heard = whole[: n + 1] + await follow(clients[n % len(clients)], turn_id, said.id)
        check_nothing_twice([one for one in heard if one.kind != "queued"], words(COUNT))


async def test_an_answer_goes_on_at_replicas_that_were_started_after_it(replicas: Replicas) -> None:
    anna = replicas.anna[0]
    running = await ask(anna, await conversation(anna), "words: count=60 delay_ms=50")
    over = await ask(anna, await conversation(anna), QUESTION)
    whole = await follow(anna, over)
    begun = await follow(anna, running, until=lambda said: said.kind == "delta")
    async with AsyncExitStack() as stack:
        late = []
        for _ in range(2):
            url = await stack.enter_async_context(serving(replicas.house.settings))
            await until_ready(url)
            late.append(await replicas.house.client(anna.headers["authorization"].removeprefix("Bearer "), url))
        await check_every_place(late, over, whole)
        heard = begun[1:] + await follow(late[0], running, begun[-1].id)
        check_nothing_twice(heard, words(60))
        check_nothing_twice(await leave_after_each(late, running), words(60))


async def test_a_place_of_another_attempt_is_answered_with_restart_and_the_whole(replicas: Replicas) -> None:
    anna = replicas.anna[0]
    turn_id = await ask(anna, await conversation(anna), QUESTION)
    whole = await follow(anna, turn_id)
    attempt = whole[-1].place[0]
    heard = await follow(anna, turn_id, f"{attempt - 1}.7.30")
    assert heard[0].kind == "restart"
    check_nothing_twice(heard, words(COUNT))


async def test_closing_a_key_or_a_user_ends_their_streams_and_nobody_elses(replicas: Replicas) -> None:
    house, (here, there) = replicas.house, replicas.anna
    made = (await here.post("/v1/keys", json={"name": "second", "scopes": ["chat"]})).json()
    second, mia, root = await house.client(made["key"]), await house.user("mia"), await house.user("root", "admin")
    long = "words: count=6000 delay_ms=10"
    hers, mias = await ask(here, await conversation(here), long), await ask(mia, await conversation(mia), long)
    streams = [(here, hers), (there, hers), (second, hers), (mia, mias)]
    begun = [asyncio.Event() for _ in streams]
    tasks = [asyncio.create_task(follow(*to, until=noting(heard))) for to, heard in zip(streams, begun, strict=True)]
    goes_on, ends = tasks[:2], tasks[2:]
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(heard.wait() for heard in begun))

    assert (await here.delete(f"/v1/keys/{made['key_id']}")).status_code == 204
    assert (await root.patch("/v1/users/mia", json={"enabled": False})).status_code == 200
    await asyncio.wait(ends, timeout=CLOSED_SECONDS)
    for stream in ends:
        assert stream.done()
        assert isinstance(stream.exception(), httpx.RemoteProtocolError), "a stream that is cut is no stream that ended"
    assert (await mia.get(f"/v1/turns/{mias}/events")).status_code == 401

    assert not any(stream.done() for stream in goes_on)
    assert (await here.post(f"/v1/turns/{hers}/stop")).status_code == 202
    assert [(await stream)[-1].kind for stream in goes_on] == ["ended", "ended"]


def noting(heard: asyncio.Event) -> Callable[[Said], bool]:
    """For a reader that stays: it notes that it hears something."""

    def note(_: Said) -> bool:
        heard.set()
        return False

    return note


async def test_an_id_that_is_none_is_said_to_be_none(replicas: Replicas) -> None:
    anna = replicas.anna[0]
    turn_id = await ask(anna, await conversation(anna), QUESTION)
    refused = await anna.get(f"/v1/turns/{turn_id}/events", headers={"last-event-id": "yesterday"})
    assert refused.status_code == 400
    assert "attempt.seq.position" in refused.json()["detail"]


async def test_ended_answers_that_memory_has_no_room_for_are_told_from_their_records(settings: Settings) -> None:
    limits = settings.limits.model_copy(update={"ended_answers_bytes": 1})
    async with open_house(settings.model_copy(update={"limits": limits})) as house, answering(settings):
        eve = await house.user("eve")
        turn_id = await ask(eve, await conversation(eve), QUESTION)
        whole = await follow(eve, turn_id)
        async with asyncio.timeout(SECONDS):
            while len([said for said in await follow(eve, turn_id) if said.kind == "delta"]) > 1:
                await asyncio.sleep(0.1)  # memory has many pieces, a record has one
        await check_every_place([eve], turn_id, whole)
