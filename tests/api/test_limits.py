"""What a request may be: large, deep, often; and how the refusal reads."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.app import ROUTERS
from api.fields import MOST_ERRORS
from api.limits import Limited, RequestMetrics, check_depth
from api.problems import Problem
from infra.metrics import new_registry
from infra.settings import Limits
from schemas.answers import AnswerRecorded
from schemas.event import uuid7
from tests.api.house import House, serving, until_ready
from tests.examples import example
from topics.catalogue import ANSWERS

JSON = {"content-type": "application/json"}


def is_problem(answer: httpx.Response, status: int, kind: str) -> None:
    """Asserts an RFC 9457 problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["type"] == f"urn:turnlog:{kind}"
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]


async def test_every_error_is_a_problem(house: House) -> None:
    ada = await house.user("ada")
    is_problem(await ada.get("/v1/nothing"), 404, "not-found")
    is_problem(await ada.put("/v1/me"), 405, "method-not-allowed")
    is_problem(await ada.post("/v1/keys", content=b'{"name":', headers=JSON), 400, "invalid")
    is_problem(await ada.post("/v1/keys", json={"name": "x"}), 422, "invalid")
    is_problem(await ada.get("/v1/keys/%00"), 422, "invalid")
    is_problem(
        await ada.put("/v1/objects", content=b"x", headers={"content-encoding": "gzip"}), 415, "content-encoding"
    )
    is_problem(await ada.get("/v1/me", headers={"x-turnlog-after": "nonsense"}), 400, "invalid")
    async with httpx.AsyncClient(base_url=house.url, trust_env=False) as nobody:
        is_problem(await nobody.get("/v1/me"), 401, "unauthenticated")
        assert (await nobody.get("/v1/me")).headers["www-authenticate"].startswith("Bearer")


async def test_a_refused_body_is_not_told_back_because_it_may_hold_a_secret(house: House) -> None:
    ada = await house.user("ada")
    answer = await ada.post("/v1/keys", json={"name": 5, "password": "hunter2"})
    assert answer.status_code == 422
    assert "hunter2" not in answer.text


async def test_of_many_errors_twenty_are_listed_and_the_rest_is_counted(house: House) -> None:
    ada = await house.user("ada")
    some = await ada.post("/v1/keys", json={"name": "x", "scopes": ["chat"]} | {f"k{n}": n for n in range(100)})
    is_problem(some, 422, "invalid")
    assert len(some.json()["errors"]) == 20
    assert some.json()["detail"].endswith("; and 95 more")
    assert some.json()["errors"][0] == {"where": "body.k0", "what": "Extra inputs are not permitted"}


ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute) and route.body_field]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_of_a_great_many_errors_only_the_number_is_told(route: APIRoute) -> None:
    """FastAPI lists whatever there is, and nothing else is served meanwhile."""
    assert route.body_field is not None
    _, errors = route.body_field.validate({f"k{n}": n for n in range(2 * MOST_ERRORS)}, loc=("body",))
    (error,) = errors
    assert (error["type"], error["loc"]) == ("many_errors", ("body",))


async def test_whoever_has_no_key_is_told_so_before_a_body_is_read(house: House) -> None:
    async with httpx.AsyncClient(base_url=house.url, trust_env=False) as nobody:
        for path in ("/v1/chat/completions", f"/v1/conversations/{uuid7()}/turns"):
            is_problem(await nobody.post(path, content=b'{"made_up":', headers=JSON), 401, "unauthenticated")


async def test_a_body_that_is_refused_costs_one_request(house: House) -> None:
    await house.user("una")
    una = await house.key("una", "chat", requests_per_minute=12)
    left = [await una.post("/v1/chat/completions", json={"made_up": n}) for n in range(3)]
    remaining = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in left]
    assert [answer.status_code for answer in left] == [400] * 3
    assert remaining[0] - remaining[2] <= 2


async def test_a_body_over_the_limit_is_413_with_and_without_a_length(house: House) -> None:
    ada = await house.user("ada")
    size = house.settings.limits.body_bytes + 1
    is_problem(await ada.post("/v1/keys", content=b" " * size, headers=JSON), 413, "too-large")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // 65536 + 1):
            yield b" " * 65536

    for kind in ("application/json", "text/plain"):
        answer = await ada.post("/v1/keys", content=pieces(), headers={"content-type": kind})
        assert answer.status_code == 413


async def test_json_nested_deeper_than_32_is_refused_before_it_is_parsed(house: House) -> None:
    ada = await house.user("ada")
    deep = b'{"name":' + b"[" * 32 + b"]" * 32 + b"}"
    is_problem(await ada.post("/v1/keys", content=deep, headers=JSON), 400, "too-deep")


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        (b"[" * 32 + b"]" * 32, True),
        (b"[" * 33 + b"]" * 33, False),
        (b'{"a":' * 33 + b"1" + b"}" * 33, False),
        (b'["' + b"[" * 1000 + b'"]', True),
        (b'["\\"' + b"[" * 1000 + b'"]', True),
        (b'["\\\\",' + b"[" * 40 + b"]" * 40 + b"]", False),
        (b"[[],{},[[]]]" * 1, True),
        (b"[" * 1_000_000, False),
        (b'"' + b'\\"' * 200_000, True),
        (b'["' + b"[" * 1000, True),
        (b"plain", True),
    ],
)
def test_depth_counts_brackets_and_not_those_in_strings(body: bytes, fits: bool) -> None:
    if fits:
        check_depth(body, 32)
    else:
        with pytest.raises(Problem):
            check_depth(body, 32)


HOSTILE = [
    b'\\"', b'"', b'"a",', b"\\", b"[]", b"[", b"]", b"[}", b"[" * 32 + b"]" * 32, b'{"a":' * 32 + b"1" + b"}" * 32,
]  # fmt: skip


@pytest.mark.parametrize("begins", [b"", b'"'], ids=["bare", "within a string that never ends"])
@pytest.mark.parametrize("again", HOSTILE)
def test_the_depth_of_any_body_is_known_in_linear_time(begins: bytes, again: bytes) -> None:
    def seconds(size: int) -> float:
        body, spent = begins + again * (size // len(again)), []
        for _ in range(3):
            began = time.thread_time()
            with suppress(Problem):
                check_depth(body, 32)
            spent.append(time.thread_time() - began)
        return min(spent)

    assert seconds(8 * 1024 * 1024) < 60 * seconds(512 * 1024), "sixteen times the body; the square would be 256"


async def test_an_uploaded_object_is_bytes_however_deep_its_json_is(house: House) -> None:
    ada = await house.user("ada")
    deep = b"[" * 100 + b"]" * 100
    assert (await ada.put("/v1/objects", content=deep, headers=JSON)).is_success


async def test_a_request_that_crashes_is_counted_as_a_500() -> None:
    async def crash(_: Request) -> Response:
        raise ZeroDivisionError

    registry = new_registry()
    app = Starlette(routes=[Route("/crash", crash)])
    app.add_middleware(Limited, Limits(), RequestMetrics(registry))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        assert (await http.get("/crash")).status_code == 500
    counted = {"method": "GET", "route": "/crash", "status": "500"}
    assert registry.get_sample_value("turnlog_http_requests_total", counted) == 1


async def test_the_rate_of_a_key_is_shared_by_replicas_and_comes_back(house: House) -> None:
    await house.user("rae")
    async with serving(house.settings) as other:
        await until_ready(other)
        here = await house.key("rae", "chat", requests_per_minute=60)
        there = await house.client(here.headers["authorization"].removeprefix("Bearer "), other)
        began = time.monotonic()
        answers = await asyncio.gather(*(one.get("/v1/me") for one in [here, there] * 40))
        came_back = time.monotonic() - began + 1  # a token a second
    granted = [one for one in answers if one.status_code == 200]
    refused = [one for one in answers if one.status_code == 429]
    assert 60 <= len(granted) <= 60 + came_back
    assert len(granted) + len(refused) == 80
    is_problem(refused[0], 429, "rate-limited")
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].headers["ratelimit-policy"] == '"key";q=60;w=60'
    assert refused[0].headers["ratelimit"].startswith('"key";r=0;t=')
    assert refused[0].headers["x-ratelimit-remaining-requests"] == "0"
    await asyncio.sleep(int(refused[0].headers["retry-after"]) + 0.1)
    assert (await here.get("/v1/me")).status_code == 200


async def test_every_answer_says_how_much_is_left_of_the_rate(house: House) -> None:
    await house.user("ray")
    ray = await house.key("ray", "chat", requests_per_minute=12)  # a token in five seconds
    left = []
    for _ in range(5):
        headers = (await ray.get("/v1/me")).headers
        assert headers["ratelimit-policy"] == '"key";q=12;w=60'
        assert headers["x-ratelimit-limit-requests"] == "12"
        left.append(int(headers["x-ratelimit-remaining-requests"]))
    assert left == sorted(left, reverse=True)
    assert 6 <= left[-1] <= 8
    missing = await ray.get("/v1/turns/00000000-0000-7000-8000-000000000000")
    assert (missing.status_code, missing.headers["ratelimit"][:8]) == (404, '"key";r=')


async def test_one_spent_key_does_not_slow_another(house: House) -> None:
    await house.user("pia")
    spent, fresh = await house.key("pia", "chat", requests_per_minute=1), await house.key("pia", "chat")
    assert [(await spent.get("/v1/me")).status_code for _ in range(3)] == [200, 429, 429]
    assert (await fresh.get("/v1/me")).status_code == 200


async def test_a_question_over_32000_characters_is_refused_and_one_of_32000_is_not(house: House) -> None:
    quinn = await house.user("quinn")
    conversation = (await quinn.post("/v1/conversations", json={})).json()["conversation_id"]
    fits, over = {"question": "ä" * 32_000}, {"question": "ä" * 32_001}
    assert (await quinn.post(f"/v1/conversations/{conversation}/turns", json=fits)).status_code == 202
    assert (await quinn.post(f"/v1/conversations/{conversation}/turns", json=over)).status_code == 422


async def test_a_person_has_eight_turns_in_flight_on_all_keys_and_an_answer_gives_a_place_back(
    house: House,
) -> None:
    """No chat worker runs: the answer is put on the log by hand."""
    fay = await house.user("fay")
    second = await house.key("fay")
    conversation = (await fay.post("/v1/conversations", json={})).json()["conversation_id"]
    path, ask = f"/v1/conversations/{conversation}/turns", {"question": "?"}
    answers = await asyncio.gather(*((fay, second)[n % 2].post(path, json=ask) for n in range(12)))
    assert sorted(one.status_code for one in answers) == [202] * 8 + [429] * 4
    is_problem(next(one for one in answers if one.status_code == 429), 429, "turns-in-flight")
    turn_id = next(one for one in answers if one.status_code == 202).json()["turn_id"]
    record = replace(example(AnswerRecorded), turn_id=turn_id, conversation_id=conversation, parent_turn_id=None)
    await house.tell(ANSWERS, conversation, record)
    assert [(await fay.post(path, json=ask)).status_code for _ in range(2)] == [202, 429]


async def test_a_key_with_places_of_its_own_takes_none_of_its_users(house: House) -> None:
    gil = await house.user("gil")
    service = await house.key("gil", turns_in_flight=20)
    conversation = (await gil.post("/v1/conversations", json={})).json()["conversation_id"]
    path, ask = f"/v1/conversations/{conversation}/turns", {"question": "?"}
    answers = await asyncio.gather(*(service.post(path, json=ask) for _ in range(21)))
    assert sorted(one.status_code for one in answers) == [202] * 20 + [429]
    assert (await gil.post(path, json=ask)).status_code == 202
