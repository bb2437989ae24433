"""/v1/models over HTTP: the aliases with their health, and a model that is away."""

from collections.abc import AsyncIterator

import openai
import pytest_asyncio

from infra.settings import Settings
from tests.api.house import House, open_house

MODELS = """
default: words
providers:
  triton: {kind: triton}
  nowhere: {kind: openai, url: "http://127.0.0.1:1/v1"}
models:
  words: {provider: triton, model: words, retrieval: off, parameters: {max_tokens: 9}}
  handbook: {provider: triton, model: answerer, retrieval: {collections: [hr], passages: 3}}
  lost: {provider: nowhere, model: gpt, retrieval: {}}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(settings: Settings) -> AsyncIterator[House]:
    """A house with models of its own."""
    file = settings.data / "models.yaml"
    file.write_text(MODELS)
    async with open_house(settings.model_copy(update={"models_file": file})) as opened:
        yield opened


async def test_models_say_what_they_are_and_whether_they_answer(house: House) -> None:
    client = await house.user("ann")
    told = (await client.get("/v1/models")).json()
    assert told["object"] == "list"
    by_id = {model["id"]: model for model in told["data"]}
    assert [by_id[name]["health"]["status"] for name in ("words", "handbook", "lost")] == ["ok", "ok", "away"]
    assert "nowhere is unavailable: no connection" in by_id["lost"]["health"]["reason"]
    assert by_id["words"]["default"]
    assert by_id["words"]["retrieval"] is None
    assert by_id["words"]["parameters"] == {"max_tokens": 9}
    assert by_id["handbook"]["retrieval"] == {"collections": ["hr"], "passages": 3}


async def test_one_model_is_found_by_its_alias_and_no_other_is(house: House) -> None:
    client = await house.user("ann")
    assert (await client.get("/v1/models/words")).json()["owned_by"] == "triton"
    assert (await client.get("/v1/models/answerer")).status_code == 404


async def test_who_is_not_known_sees_no_model(house: House) -> None:
    stranger = await house.client("tl_nobody")
    assert (await stranger.get("/v1/models")).status_code == 401


async def test_an_openai_sdk_lists_them(house: House) -> None:
    client = await house.user("ann")
    key = client.headers["authorization"].removeprefix("Bearer ")
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{house.url}/v1") as sdk:
        assert {model.id async for model in sdk.models.list()} == {"words", "handbook", "lost"}
