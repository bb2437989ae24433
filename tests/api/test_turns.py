"""Asking: once whatever the client repeats, with errors that say what to do; stops; conversations."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from starlette.datastructures import Headers

from api.caller import Caller
from api.routes.turns import wants_stream
from api.stream.told import Look
from infra.objects import Objects
from infra.postgres.pool import open_pool
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.event import uuid7
from schemas.turns import TurnStopRequested
from tests.api.house import House, open_house, serving, superuser, until_ready
from tests.chatting import SECONDS, answering, ask, conversation, ended, events, follow, joined, turn, words
from tests.kafka_reading import all_of
from tests.servers import Servers
from topics.catalogue import ANSWERS, TURN_STOPS, TURNS

TWINS = 20
WAITS_FOR_A_LOCK = "select 1 from pg_locks where relation = %s::regclass and not granted"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """A house whose questions are answered."""
    async with open_house(settings) as opened, answering(settings):
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def anna(house: House) -> httpx.AsyncClient:
    """Somebody who asks."""
    return await house.user("anna")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bob(house: House) -> httpx.AsyncClient:
    """Somebody else."""
    return await house.user("bob")


async def test_a_turn_can_be_asked_and_streamed_in_one_request(anna: httpx.AsyncClient) -> None:
    where = await conversation(anna)
    head = {"accept": "text/event-stream"}
    body = {"question": "words: count=30 delay_ms=2", "model": "words"}
    async with anna.stream("POST", f"/v1/conversations/{where}/turns", json=body, headers=head) as response:
        assert response.status_code == 200
        heard = [said async for said in events(response)]
    assert [heard[0].kind, heard[-1].kind] == ["queued", "ended"]
    assert joined(heard) == words(30)
    shown = await turn(anna, response.headers["x-turnlog-turn"])
    assert shown["answer"] == words(30)


async def test_twenty_clients_with_one_idempotency_key_make_one_turn(house: House, anna: httpx.AsyncClient) -> None:
    where, key = await conversation(anna), {"idempotency-key": "twenty"}
    path, body = f"/v1/conversations/{where}/turns", {"question": "words: count=10", "model": "words"}
    answers = await asyncio.gather(*(anna.post(path, json=body, headers=key) for _ in range(TWINS)))
    assert {answer.status_code for answer in answers} == {202}
    turn_ids = {answer.json()["turn_id"] for answer in answers}
    assert len(turn_ids) == 1
    (turn_id,) = turn_ids
    heard = await asyncio.gather(*(follow(anna, turn_id) for _ in range(TWINS)))
    assert {joined(one) for one in heard} == {words(10)}
    asked = [record for record in await all_of(house.settings, TURNS) if record.key == where.encode()]
    recorded = [record for record in await all_of(house.settings, ANSWERS) if record.key == where.encode()]
    assert (len(asked), len(recorded)) == (1, 1)
    other = await anna.post(path, json=body | {"question": "words: count=11"}, headers=key)
    assert other.status_code == 422
    assert other.json()["type"] == "urn:turnlog:key-reused"


async def test_twins_are_told_of_their_turn_also_when_it_took_the_last_place(house: House) -> None:
    one = await house.user("one-place", turns_in_flight=1)
    where = await conversation(one)
    path, body, key = (
        f"/v1/conversations/{where}/turns",
        {"question": "words: count=6000 delay_ms=9", "model": "words"},
        "x",
    )
    async with serving(house.settings) as second:
        await until_ready(second)
        urls = [f"{url}{path}" for url in (house.url, second)] * (TWINS // 2)
        answers = await asyncio.gather(*(one.post(url, json=body, headers={"idempotency-key": key}) for url in urls))
    assert {answer.status_code for answer in answers} == {202}
    (turn_id,) = {answer.json()["turn_id"] for answer in answers}
    assert (await one.post(path, json=body)).status_code == 429
    await one.post(f"/v1/turns/{turn_id}/stop")
    await ended(one, turn_id)


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_a_repeated_question_of_a_deleted_conversation_is_404(anna: httpx.AsyncClient, accept: str) -> None:
    where, head = await conversation(anna), {"idempotency-key": f"deleted {accept}", "accept": accept}
    path, body = f"/v1/conversations/{where}/turns", {"question": "words: count=3", "model": "words"}
    asked = await anna.post(path, json=body, headers=head)
    await ended(anna, asked.headers["x-turnlog-turn"])
    assert (await anna.delete(f"/v1/conversations/{where}")).status_code == 204
    async with asyncio.timeout(SECONDS):
        again = await anna.post(path, json=body, headers=head)
    assert (again.status_code, again.json()["detail"][:42]) == (404, f"there is no conversation {where}"[:42])


async def test_the_same_key_of_somebody_else_is_another_key(anna: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "mine"}
    hers = await anna.post("/v1/conversations", json={}, headers=key)
    again = await anna.post("/v1/conversations", json={}, headers=key)
    his = await bob.post("/v1/conversations", json={}, headers=key)
    assert hers.json()["conversation_id"] == again.json()["conversation_id"] != his.json()["conversation_id"]


async def test_what_cannot_be_asked_is_said_with_what_helps(house: House, anna: httpx.AsyncClient) -> None:
    path = f"/v1/conversations/{await conversation(anna)}/turns"

    async def refused(**body: object) -> httpx.Response:
        return await anna.post(path, json={"question": "words: count=3", "model": "words"} | body)

    unknown = await refused(model="gpt-9")
    assert unknown.status_code == 422
    assert "there are answerer, words" in unknown.json()["detail"]
    assert (await refused(question="")).status_code == 422
    long = await refused(question="x" * (house.settings.limits.question_characters + 1))
    assert long.status_code == 422
    assert "32000 are allowed" in long.json()["detail"]
    assert (await refused(colour="blue")).status_code == 422
    assert (await refused(retrieval={"collections": ["nobody-knows-it"]})).status_code == 404
    assert (await refused(parent_turn_id=uuid7())).status_code == 404
    bare = await anna.post(path, json={"question": "x"}, headers={"idempotency-key": "k" * 256})
    assert bare.status_code == 400
    foreign = await anna.post(path, json={"question": "x"}, headers=[(b"idempotency-key", "ключ".encode())])
    assert (foreign.status_code, "ASCII" in foreign.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        (["text/event-stream"], True),
        (["application/json, Text/Event-Stream;q=0.5"], True),
        (["application/json", "text/event-stream"], True),
        (["text/event-stream;q=0"], False),
        (["text/event-stream; q=0.000, */*"], False),
        (["text/event-streams"], False),
        ([], False),
    ],
)
def test_the_stream_is_for_those_whose_accept_headers_name_it(accept: list[str], streams: bool) -> None:
    assert wants_stream(Headers(raw=[(b"accept", value.encode()) for value in accept])) is streams


async def test_what_is_somebody_elses_is_not_there(anna: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    where = await conversation(anna)
    turn_id = await ask(anna, where, "words: count=3")
    await ended(anna, turn_id)
    mine = await conversation(bob)
    body = {"question": "words: count=3", "model": "words"}
    tried = [
        await bob.post(f"/v1/conversations/{where}/turns", json=body),
        await bob.post(f"/v1/conversations/{mine}/turns", json=body | {"parent_turn_id": turn_id}),
        await bob.get(f"/v1/conversations/{where}"),
        await bob.delete(f"/v1/conversations/{where}"),
        await bob.get(f"/v1/turns/{turn_id}"),
        await bob.get(f"/v1/turns/{turn_id}/events"),
        await bob.post(f"/v1/turns/{turn_id}/stop"),
    ]
    assert {answer.status_code for answer in tried} == {404}
    assert where not in (await bob.get("/v1/conversations")).text


async def test_a_parent_must_have_its_answer_and_makes_a_branch(anna: httpx.AsyncClient) -> None:
    where = await conversation(anna)
    first = await ask(anna, where, "words: count=3")
    await ended(anna, first)
    second = await ask(anna, where, "words: count=1000 delay_ms=20")
    path, body = f"/v1/conversations/{where}/turns", {"question": "words: count=3", "model": "words"}
    early = await anna.post(path, json=body | {"parent_turn_id": second})
    assert early.status_code == 409
    await anna.post(f"/v1/turns/{second}/stop")
    await ended(anna, second)
    branch = await ask(anna, where, "words: count=3", parent_turn_id=first)
    after = await ask(anna, where, "words: count=3")
    parents = [(await ended(anna, one))["parent_turn_id"] for one in (first, second, branch, after)]
    assert parents == [None, first, first, branch]


async def test_turns_in_flight_are_limited_and_places_come_back(house: House) -> None:
    few = await house.user("few", turns_in_flight=2)
    running = [await ask(few, await conversation(few), "words: count=2000 delay_ms=20") for _ in range(2)]
    path, body = f"/v1/conversations/{await conversation(few)}/turns", {"question": "words: count=1", "model": "words"}
    full = await few.post(path, json=body)
    assert full.status_code == 429
    assert full.headers["retry-after"] == "1"
    for turn_id in running:
        await few.post(f"/v1/turns/{turn_id}/stop")
        await ended(few, turn_id)
    async with asyncio.timeout(SECONDS):
        while (await few.post(path, json=body)).status_code != 202:
            await asyncio.sleep(0.05)


async def test_a_turn_past_its_deadline_fails_with_what_it_has(anna: httpx.AsyncClient) -> None:
    where, began = await conversation(anna), time.monotonic()
    await ended(anna, await ask(anna, where, "words: count=1"))
    deadline_seconds = 0.4 + 3 * (time.monotonic() - began)  # enough for some words, also where all is slow
    turn_id = await ask(anna, where, "words: count=6000 delay_ms=10", deadline_seconds=deadline_seconds)
    heard = await follow(anna, turn_id)
    assert heard[-1].data["status"] == "failed"
    assert "deadline" in heard[-1].data["reason"]
    shown = await ended(anna, turn_id)
    assert shown["answer"] == joined(heard)
    assert words(6000).startswith(shown["answer"])
    assert shown["answer"]


async def test_a_model_that_breaks_off_is_tried_again_and_then_the_turn_fails(anna: httpx.AsyncClient) -> None:
    turn_id = await ask(anna, await conversation(anna), "words: count=20 fail_after=5 delay_ms=1")
    heard = await follow(anna, turn_id)
    assert [said.kind for said in heard].count("restart") >= 1
    assert heard[-1].data["status"] == "failed"
    assert joined(heard) == words(5) == (await ended(anna, turn_id))["answer"]


class WordsLog:
    """What the paced model noted since this was made."""

    def __init__(self, path: Path) -> None:
        self._path, self._start = path, path.stat().st_size if path.exists() else 0

    async def until(self, what: str) -> str:
        """The first line with this in it."""
        async with asyncio.timeout(SECONDS):
            while True:
                lines = self._path.read_text()[self._start :].splitlines() if self._path.exists() else []
                if found := next((line for line in lines if what in line), None):
                    return found
                await asyncio.sleep(0.05)

    def lines(self, what: str) -> list[str]:
        """All lines with this in them."""
        return [line for line in self._path.read_text()[self._start :].splitlines() if what in line]


@pytest.fixture
def words_log(servers: Servers) -> WordsLog:
    """The log of the model `words`."""
    return WordsLog(servers.words_log)


async def test_a_stop_in_the_middle_ends_the_models_call(
    house: House, anna: httpx.AsyncClient, words_log: WordsLog
) -> None:
    turn_id = await ask(anna, await conversation(anna), "words: count=500 delay_ms=20 marker=middle")
    await follow(anna, turn_id, until=lambda said: said.kind == "delta")
    stopped = await anna.post(f"/v1/turns/{turn_id}/stop")
    assert stopped.status_code == 202
    shown = await ended(anna, turn_id)
    assert shown["status"] == "stopped"
    assert shown["stop_requested"]
    assert 0 < len(shown["answer"]) < len(words(500))
    assert words(500).startswith(shown["answer"])
    assert "cancelled after" in await words_log.until("cancelled")
    assert joined(await follow(anna, turn_id)) == shown["answer"]
    assert [r for r in await all_of(house.settings, TURN_STOPS) if turn_id.encode() in r.value]


async def test_a_stop_before_the_start_never_asks_the_model(anna: httpx.AsyncClient, words_log: WordsLog) -> None:
    where = await conversation(anna)
    running = await ask(anna, where, "words: count=3000 delay_ms=20 marker=ahead")
    behind = await ask(anna, where, "words: count=5 marker=behind")
    await anna.post(f"/v1/turns/{behind}/stop")
    await anna.post(f"/v1/turns/{running}/stop")
    shown = await ended(anna, behind)
    assert (shown["status"], shown["answer"], shown["pieces"]) == ("stopped", "", 0)
    assert not words_log.lines("marker=behind")
    heard = await follow(anna, behind)
    assert heard[-1].data["status"] == "stopped"


async def test_a_stop_that_only_the_log_knows_happens(house: House, anna: httpx.AsyncClient) -> None:
    """Its API died before it could say so to the worker, or was told too late that the log has it."""
    where = await conversation(anna)
    turn_id = await ask(anna, where, "words: count=500 delay_ms=20")
    await follow(anna, turn_id, until=lambda said: said.kind == "delta")
    stop = TurnStopRequested(turn_id=turn_id, conversation_id=where, user_id="anna", reason="user")
    await house.tell(TURN_STOPS, where, stop)
    assert (await ended(anna, turn_id))["status"] == "stopped"


async def test_whatever_waits_in_a_conversation_ends_when_it_is_deleted(
    house: House, anna: httpx.AsyncClient, words_log: WordsLog
) -> None:
    where = await conversation(anna)
    asked = [await ask(anna, where, f"words: count=6000 delay_ms=20 marker=gone-{n}") for n in range(4)]
    assert (await anna.delete(f"/v1/conversations/{where}")).status_code == 204
    with superuser(house.settings) as db:
        async with asyncio.timeout(SECONDS):
            query = "select status from state.turns where turn_id = any(%s) and sealed_at is not null"
            while len(sealed := db.execute(query, [asked]).fetchall()) < len(asked):
                await asyncio.sleep(0.05)
    assert {status for (status,) in sealed} <= {"stopped", "failed"}
    assert not words_log.lines("marker=gone-1")


async def test_a_stop_after_the_end_changes_nothing(anna: httpx.AsyncClient, words_log: WordsLog) -> None:
    turn_id = await ask(anna, await conversation(anna), "words: count=5 delay_ms=1 marker=over")
    before = await ended(anna, turn_id)
    assert (await anna.post(f"/v1/turns/{turn_id}/stop")).status_code == 202
    after = await turn(anna, turn_id)
    assert after["status"] == "completed"
    assert after["answer"] == before["answer"] == words(5)
    assert "finished 5" in words_log.lines("marker=over")[-1]


async def test_conversations_are_listed_read_and_deleted(house: House, anna: httpx.AsyncClient) -> None:
    carl = await house.user("carl")
    made = [await conversation(carl) for _ in range(3)]
    for where in made:
        await ended(carl, await ask(carl, where, f"words: count=2 marker={where[-4:]}"))
    first = (await carl.get("/v1/conversations", params={"limit": 2})).json()
    rest = (await carl.get("/v1/conversations", params={"limit": 2, "cursor": first[-1]["conversation_id"]})).json()
    assert [one["conversation_id"] for one in first + rest] == made[::-1]
    assert first[0]["title"] == f"words: count=2 marker={made[2][-4:]}"
    whole = (await carl.get(f"/v1/conversations/{made[0]}")).json()
    assert [(one["question"][:14], one["answer"], one["status"]) for one in whole["turns"]] == [
        ("words: count=2", words(2), "completed")
    ]
    running = await ask(carl, made[0], "words: count=6000 delay_ms=20")
    await follow(carl, running, until=lambda said: said.kind == "delta")
    assert (await carl.delete(f"/v1/conversations/{made[0]}")).status_code == 204
    gone = [
        await carl.get(f"/v1/conversations/{made[0]}"),
        await carl.get(f"/v1/turns/{whole['turns'][0]['turn_id']}"),
        await carl.get(f"/v1/turns/{running}/events"),
        await carl.delete(f"/v1/conversations/{made[0]}"),
        await carl.post(f"/v1/conversations/{made[0]}/turns", json={"question": "x", "model": "words"}),
    ]
    assert {answer.status_code for answer in gone} == {404}
    assert len((await carl.get("/v1/conversations")).json()) == 2
    with superuser(house.settings) as db:
        async with asyncio.timeout(SECONDS):
            while not db.execute(
                "select 1 from state.turns where turn_id = %s and sealed_at is not null", [running]
            ).fetchone():
                await asyncio.sleep(0.05)


async def test_sealed_bytes_are_dropped_once_the_views_have_them(house: House, anna: httpx.AsyncClient) -> None:
    turn_id = await ask(anna, await conversation(anna), "words: count=4")
    await ended(anna, turn_id)
    with superuser(house.settings) as db:
        async with asyncio.timeout(SECONDS):
            while db.execute("select value from state.turns where turn_id = %s", [turn_id]).fetchone() != (None,):
                await asyncio.sleep(0.05)
        kept = db.execute(
            "select status, sealed_at is not null from state.turns where turn_id = %s", [turn_id]
        ).fetchone()
    assert kept == ("completed", True)


async def test_a_record_is_found_also_when_it_is_folded_while_one_looks(house: House, anna: httpx.AsyncClient) -> None:
    turn_id = await ask(anna, await conversation(anna), "words: count=6")
    await ended(anna, turn_id)
    who = Caller("anna", "a-key", frozenset({"user:anna"}), frozenset({"chat"}), 60, 1, "user:anna")
    registry, objects = RegistryClient(house.settings), Objects.open(house.settings)
    house.stack.push_async_callback(registry.close)
    async with open_pool(house.settings, "api", size=1) as pool:
        with superuser(house.settings) as db, superuser(house.settings) as onlooker:
            with db.transaction():  # as before the fold; the sealed bytes are gone when the look comes to them
                db.execute("create temp table folded as select * from views.answers where turn_id = %s", [turn_id])
                db.execute("delete from views.answers where turn_id = %s", [turn_id])
            with db.transaction():
                db.execute("lock table state.turns in access exclusive mode")
                looking = asyncio.create_task(Look(pool, Codec(registry), objects, who, turn_id).told())
                async with asyncio.timeout(SECONDS):
                    while not onlooker.execute(WAITS_FOR_A_LOCK, ["state.turns"]).fetchone():
                        await asyncio.sleep(0.02)
                db.execute("insert into views.answers select * from folded")
        told = await looking
    assert told is not None
    assert told.text == words(6)
