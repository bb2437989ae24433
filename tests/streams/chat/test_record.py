"""The record says everything: what a model was shown can be rebuilt from the log alone, byte by byte."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import openai
import pytest
import pytest_asyncio

from infra.objects import Objects
from infra.settings import Settings
from infra.triton.tokens import Tokens
from schemas.answers import AnswerRecorded, Citation, ShownPassage
from schemas.documents import DocumentAccepted
from schemas.event import Event
from schemas.turns import TurnRequested
from streams.chat.prepare import query_of
from streams.chat.prompt import Asked, Earlier, Quoted, build
from streams.chat.record import TOO_LARGE, fitting
from tests.asking import SAYS, Asking, ask, open_asking
from tests.chatting import conversation, ended, follow
from tests.kafka_reading import all_of
from topics.catalogue import ANSWERS, DOCUMENTS, TURNS, Topic


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asking(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asking]:
    """Two documents of Anna's are searchable, and one that she may not read."""
    async with open_asking(settings, tmp_path_factory.mktemp("models")) as opened:
        yield opened


class Log:
    """What the log says, and nothing else."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def read(self) -> "Log":
        """Reads the topics whole."""
        self.asked = {e.turn_id: e for _, _, e in await self._events(TURNS) if isinstance(e, TurnRequested)}
        self.recorded = {e.turn_id: e for _, _, e in await self._events(ANSWERS) if isinstance(e, AnswerRecorded)}
        self.documents = {
            (e.collection_id, e.document_id, offset): e
            for _, offset, e in await self._events(DOCUMENTS)
            if isinstance(e, DocumentAccepted)
        }
        return self

    async def _events(self, topic: Topic) -> list[tuple[int, int, Event]]:
        codec, found = self._asking.house.publisher._codec, await all_of(self._asking.settings, topic)
        return [
            (r.partition, r.offset, await codec.decode(topic.name, topic.events, r.value, dict(r.headers)))
            for r in found
        ]

    async def rebuilt(self, turn_id: str) -> bytes:
        """The model's input, made anew from what was asked, answered and published."""
        record, objects = self.recorded[turn_id], Objects.open(self._asking.settings)
        asked = Asked(
            question=(await objects.read(self.asked[turn_id].question)).decode(),
            earlier=await self._earlier(record.parent_turn_id, objects),
            passages=[await self._quoted(passage, objects) for passage in record.passages],
            messages=await self._messages(turn_id, objects),
        )
        count = Tokens.read(self._asking.settings.embedder_tokenizer).count
        return build(asked, "messages", count, self._asking.settings.limits).sent

    async def _messages(self, turn_id: str, objects: Objects) -> list[tuple[str, str]] | None:
        sent = self.asked[turn_id].messages
        return None if sent is None else [(role, text) for role, text in json.loads(await objects.read(sent))]

    async def _earlier(self, turn_id: str | None, objects: Objects) -> list[Earlier]:
        if turn_id is None:
            return []
        record = self.recorded[turn_id]
        question = (await objects.read(self.asked[turn_id].question)).decode()
        answer = (await objects.read(record.text)).decode()
        earlier = Earlier(question=question, answer=answer, status=record.status)  # type: ignore[arg-type]
        return [*await self._earlier(record.parent_turn_id, objects), earlier]

    async def _quoted(self, passage: ShownPassage, objects: Objects) -> Quoted:
        document = self.documents[passage.collection_id, passage.document_id, passage.version]
        text = (await objects.read(document.content)).decode()[passage.start : passage.end]
        return Quoted(text=text, title=passage.title, page=passage.page, heading=passage.heading)


async def test_the_exact_input_of_the_model_is_in_the_record_and_can_be_rebuilt_from_the_log(asking: Asking) -> None:
    where = await conversation(asking.anna)
    turns = [await ask(asking, where, question) for question in ("How long may the pump run?", "And the roof?")]
    log = await Log(asking).read()
    for turn_id, sent in zip(turns, asking.model.bodies[-2:], strict=True):
        record = log.recorded[turn_id]
        assert record.prompt.inline is not None
        assert json.loads(record.prompt.inline) == sent["messages"]
        assert await log.rebuilt(turn_id) == record.prompt.inline
        assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("some-model", 99, 0.1)
        assert (record.parameters.max_tokens, record.parameters.temperature) == (99, 0.1)
        assert "secretly" not in record.prompt.inline.decode()
    assert "Berta [1]" in asking.model.bodies[-1]["messages"][2]["content"], "the second turn did not see the first"


async def test_a_completion_has_its_messages_in_the_record_and_its_citations_as_annotations(asking: Asking) -> None:
    key = asking.anna.headers["authorization"].removeprefix("Bearer ")
    messages: list[Any] = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "How long may the pump in hall 3 run?"},
    ]
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{asking.house.url}/v1", max_retries=0) as sdk:
        whole = await sdk.chat.completions.create(model="hosted", messages=messages)
        chunks = [c async for c in await sdk.chat.completions.create(model="hosted", messages=messages, stream=True)]
    assert whole.choices[0].message.content == SAYS
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAYS
    cited = [one.url_citation for one in whole.choices[0].message.annotations or []]
    assert [(SAYS[one.start_index : one.end_index], one.title) for one in cited] == [("[1]", "Pump"), ("[2]", "Roof")]
    assert cited[0].url == "/v1/collections/works/documents/pump"
    streamed = (chunks[-1].choices[0].delta.model_extra or {})["annotations"]
    assert [one["url_citation"] for one in streamed] == [one.model_dump() for one in cited]

    turn_id, log = whole.id.removeprefix("chatcmpl-"), await Log(asking).read()
    assert "Good day." in asking.model.bodies[-1]["messages"][3]["content"]
    assert await log.rebuilt(turn_id) == log.recorded[turn_id].prompt.inline


async def test_the_record_holds_what_was_shown_with_which_rights_and_when(asking: Asking) -> None:
    turn_id = await ask(asking, await conversation(asking.anna), "How long may the pump in hall 3 run?")
    record = (await Log(asking).read()).recorded[turn_id]
    assert [p.number for p in record.passages] == list(range(1, len(record.passages) + 1))
    assert record.passages[0].document_id == "pump"
    assert record.citations == [Citation(number=1, position=6), Citation(number=2, position=44)]
    assert [(e.kind, e.seq, e.position) for e in record.events] == [("retrieving", 1, 0), ("passages", 2, 0)]
    assert record.permissions is not None
    assert record.permissions.principals == ["public", "user:anna"]
    assert {v.topic for v in record.permissions.views} == {"access-changes", "documents"}
    assert sum(v.offset for v in record.permissions.views) >= 6
    assert record.retrieved is not None
    assert record.retrieved.query.inline == b"How long may the pump in hall 3 run?"
    when = record.timings
    assert when.retrieved_at
    assert when.first_piece_at
    assert when.requested_at <= when.claimed_at <= when.retrieved_at <= when.first_piece_at <= when.ended_at
    assert (record.provider, record.provider_model, record.model) == ("hosted", "some-model", "hosted")
    shown = await ended(asking.anna, turn_id)
    assert [p["document_id"] for p in shown["passages"]] == [p.document_id for p in record.passages]
    assert [c["number"] for c in shown["citations"]] == [1, 2]


async def test_a_record_that_is_too_large_keeps_its_text_and_names_its_passages(asking: Asking) -> None:
    turn_id = await ask(asking, await conversation(asking.anna), "How long may the pump run?")
    record = (await Log(asking).read()).recorded[turn_id]
    long = [replace(passage, title="t" * 2_000_000, heading=["h"]) for passage in record.passages]
    large = AnswerRecorded(**vars(record) | {"passages": long})
    fit, encoded = await fitting(large, asking.house.publisher, Objects.open(asking.settings))
    assert len(encoded.value) < asking.settings.limits.record_bytes
    assert (fit.status, fit.reason, fit.length) == ("failed", TOO_LARGE, record.length)
    assert [(p.document_id, p.version, p.passage, p.title) for p in fit.passages] == [
        (p.document_id, p.version, p.passage, None) for p in record.passages
    ]


async def test_the_stream_tells_of_the_search_and_a_late_reader_hears_the_same(asking: Asking) -> None:
    turn_id = await ask(asking, await conversation(asking.anna), "How long may the pump run?")
    heard = await follow(asking.anna, turn_id)
    assert [said.kind for said in heard[:3]] == ["queued", "retrieving", "passages"]
    assert heard[2].data["passages"][0]["document_id"] == "pump"


async def test_a_short_question_is_searched_for_with_the_one_before_it() -> None:
    before = "How long may the pump run?"
    assert query_of("And the roof?", before) == "How long may the pump run?\nAnd the roof?"
    assert query_of("And the roof?", None) == "And the roof?"
    long = "And how long may the roof of the hall be used before it is made anew?"
    assert query_of(long, before) == long
