"""Read your writes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from infra.settings import Limits
from tests.api.house import House, after, serving, superuser, until_ready, with_limits


@asynccontextmanager
async def impatient(house: House, user_id: str) -> AsyncIterator[httpx.AsyncClient]:
    """A user at a replica that waits for the views as long as one does where nothing else is said."""
    user, seconds = await house.user(user_id), Limits().read_your_writes_seconds
    async with serving(with_limits(house.settings, read_your_writes_seconds=seconds)) as url:
        await until_ready(url)
        yield await house.client(user.headers["authorization"].removeprefix("Bearer "), url)


async def test_a_write_says_where_it_lies_and_is_seen_at_once_on_every_replica(house: House) -> None:
    nia = await house.user("nia")
    async with serving(house.settings) as url:
        await until_ready(url)
        other = await house.client(nia.headers["authorization"].removeprefix("Bearer "), url)
        for number in range(5):
            body = {"collection_id": f"seen-{number}", "name": "Seen"}
            made = await nia.post("/v1/collections", json=body)
            assert made.status_code == 201
            found = await other.get(f"/v1/collections/seen-{number}", headers=after(made))
            assert found.status_code == 200


async def test_a_read_waits_for_the_write_that_it_names(house: House) -> None:
    """The writer does not wait: its event is on the log before the views know of it."""
    ole = await house.user("ole")
    made = await ole.post("/v1/collections", json={"collection_id": "first", "name": "First"})
    log, _, offset = made.headers["x-turnlog-position"].rpartition(":")
    following = f"{log}:{int(offset) + 1}"

    written = asyncio.Event()

    async def write_later() -> None:
        await asyncio.sleep(0.3)
        written.set()
        changed = await ole.put("/v1/collections/first/readers", json={"readers": []})  # of one key: the next place
        assert changed.headers["x-turnlog-position"] == following

    later = asyncio.create_task(write_later())
    answer = await ole.get("/v1/me", params={"after": following})
    assert answer.status_code == 200
    assert written.is_set()
    await later


async def test_views_that_are_behind_make_a_read_202_after_two_seconds_and_not_a_lie(house: House) -> None:
    async with impatient(house, "ida") as ida:
        began = time.monotonic()
        answer = await ida.get("/v1/collections", headers={"x-turnlog-after": "access-changes/0:999999"})
        took = time.monotonic() - began
    assert answer.status_code == 202
    assert answer.json()["position"] == "access-changes/0:999999"
    assert answer.headers["retry-after"] == "1"
    assert took > 1.9


async def test_a_write_that_the_views_do_not_fold_in_time_is_202_and_says_where_to_look(house: House) -> None:
    async with impatient(house, "eli") as eli:
        with superuser(house.settings) as db, db.transaction():
            db.execute("lock table views.offsets in access exclusive mode")  # the views worker waits for it
            answer = await eli.post("/v1/keys", json={"name": "late", "scopes": ["chat"]})
            assert answer.status_code == 202
            assert answer.json()["status"] == "pending"
            assert answer.json()["key"].startswith("tl_")
    listed = await house.people["eli"].get("/v1/keys", headers=after(answer))
    assert answer.json()["key_id"] in listed.text


async def test_rights_are_judged_as_they_are_after_the_write_that_a_request_names(house: House) -> None:
    ada, ben = await house.user("ada"), await house.user("ben")
    await house.group("pair", "ada", "ada", "ben")
    made = await ada.post("/v1/collections", json={"name": "ours", "readers": ["group:pair"]})
    collection = made.json()["collection_id"]
    assert (await ben.get(f"/v1/collections/{collection}", headers=after(made))).status_code == 200
    left = await ada.delete("/v1/groups/pair/members/ben")
    assert (await ben.get(f"/v1/collections/{collection}", headers=after(left))).status_code == 404


async def test_after_a_restart_of_the_database_the_next_request_is_answered(house: House) -> None:
    uma = await house.user("uma")
    assert (await uma.get("/v1/keys")).status_code == 200
    with superuser(house.settings) as db:
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename = 'turnlog_api'",
            [house.settings.postgres_database],
        )
    await asyncio.sleep(1.1)  # longer than a key is remembered
    answers: list[httpx.Response] = [await uma.get("/v1/keys") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 200]


async def test_a_broker_that_does_not_answer_in_time_is_503_with_the_outcome_unknown(house: House) -> None:
    ivy = await house.user("ivy")
    hasty = house.settings.limits.model_copy(update={"request_unknown_seconds": 0.0})
    async with serving(house.settings.model_copy(update={"limits": hasty})) as url:
        await until_ready(url)
        client = await house.client(ivy.headers["authorization"].removeprefix("Bearer "), url)
        answer = await client.post("/v1/keys", json={"name": "x", "scopes": ["chat"]})
    assert answer.status_code == 503
    assert answer.json()["server"] == "kafka"
    assert "outcome unknown" in answer.json()["detail"]
