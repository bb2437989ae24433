"""Object storage away at the end of an answer: its words wait, and are in the record when it is back."""

import asyncio
from pathlib import Path

from infra.settings import Settings
from tests.api.house import open_house
from tests.chatting import answering, ask, conversation, ended, follow, joined, turn, words


async def test_an_answer_too_long_for_a_record_waits_for_object_storage(settings: Settings) -> None:
    limits = settings.limits.model_copy(update={"inline_bytes": 50})
    settings = settings.model_copy(update={"limits": limits})
    objects = Path(settings.folder("store")) / "objects"
    async with open_house(settings) as house, answering(settings):
        anna = await house.user("anna")
        turn_id = await ask(anna, await conversation(anna), "words: count=120 delay_ms=20")
        await follow(anna, turn_id, until=lambda said: said.kind == "delta")
        kept = objects.rename(objects.with_name("kept")) if objects.exists() else None
        objects.write_text("no folder")
        heard = asyncio.create_task(follow(anna, turn_id))
        await asyncio.sleep(3)
        assert (await turn(anna, turn_id))["status"] == "running"
        objects.unlink()
        if kept:
            kept.rename(objects)
        assert joined(await heard) == words(120)
        shown = await ended(anna, turn_id)
        assert (shown["status"], shown["answer"]) == ("completed", words(120))
