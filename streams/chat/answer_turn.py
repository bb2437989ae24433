"""turns -> answers-live, answers: answer one turn, so that no crash can lose it and nobody sees two answers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from infra.kafka.publisher import Publisher
from infra.kafka.records import NOTHING, Outputs, Received
from infra.models import Models
from infra.objects import Objects
from infra.postgres.freshness import Freshness
from infra.providers.provider import ModelFailed, Provider
from infra.settings import Limits
from infra.waiting import backoff_seconds, until_available
from schemas.errors import Invalid, Refused, Unavailable
from schemas.event import now_ms
from schemas.turns import TurnRequested
from streams.chat.attempt import Attempt, Outcome
from streams.chat.ending import Ending
from streams.chat.generate import generate, merged, must_end
from streams.chat.history import Answered, History
from streams.chat.live_stream import LiveStream
from streams.chat.places import Place, Places
from streams.chat.prepare import Prepare
from streams.chat.prompt import Earlier
from streams.chat.record import fitting, record_of
from streams.chat.sealed import Reached, Say, nothing_happens
from streams.chat.stops import Stops
from streams.chat.turns import Claim, Sealed, Turns

log = structlog.get_logger()
LONGEST_WAIT_SECONDS = 5.0
SETTLE_SECONDS = 1.0  # a broker that takes longer than this is away, and the seal does not wait for it


class AttemptOver(Exception):
    """This attempt cannot end the turn: claim it again."""


@dataclass(frozen=True)
class Chat:
    """What a turn is answered with."""

    limits: Limits
    models: Models
    providers: Mapping[str, Provider]
    publisher: Publisher
    objects: Objects
    freshness: Freshness
    turns: Turns
    stops: Stops
    places: Places
    history: History
    prepare: Prepare
    say: Say
    reached: Reached = nothing_happens


async def answer_turn(asked: Received[TurnRequested], chat: Chat) -> Outputs:
    """Claim, retrieve, generate, seal, say. It publishes by itself: what is sealed must be said as it is."""
    if chat.freshness.went_back:
        raise Unavailable("views", "folding again the rights and answers that they had")
    event, patience = asked.event, Patience(chat.limits.wait_for_server_seconds)
    with chat.stops.watch(event.turn_id, event.deadline) as ending:
        async with chat.places.one(event.model, ending) as place:
            while True:
                claim = await chat.turns.claim(asked)
                if isinstance(claim, Sealed):
                    await chat.say.again(event.conversation_id, asked.partition, claim)
                    return NOTHING
                try:
                    await _try(asked, claim, chat, ending, place, patience)
                    return NOTHING
                except AttemptOver:
                    place.leave()
                    await ending.within(backoff_seconds(claim.tries, LONGEST_WAIT_SECONDS))
                    await place.take(ending)  # a turn is claimed when it has its place
                except asyncio.CancelledError:
                    chat.turns.let_go_soon(claim)  # the partition is somebody else's now: that is no try
                    raise


async def _try(
    asked: Received[TurnRequested], claim: Claim, chat: Chat, ending: Ending, place: Place, patience: "Patience"
) -> None:
    """One attempt, from its claim to its end on the log; raises AttemptOver."""
    await chat.reached("claimed")
    alias = chat.models.aliases.get(asked.event.model)
    attempt = Attempt(asked, claim, alias, LiveStream(chat.publisher, claim, asked.partition), claim.rights)
    if claim.stopped:
        ending.now("stopped")
    outcome = await _outcome(attempt, chat, ending, place, patience)
    place.leave()
    await chat.reached("generated")
    await finish(attempt, outcome, chat)


async def _outcome(attempt: Attempt, chat: Chat, ending: Ending, place: Place, patience: "Patience") -> Outcome:
    """What the attempt comes to; waits for servers, without its place, as long as that can help."""
    if attempt.claim.tries >= chat.limits.tries:
        return Outcome("failed", f"it was tried {attempt.claim.tries} times, and each time it broke off")
    while True:
        try:
            await place.take(ending)
            if ending.why:
                return must_end(ending)
            return await _answer(attempt, chat, ending)
        except (Invalid, Refused) as exc:
            return Outcome("failed", str(exc))
        except ModelFailed as exc:
            if attempt.claim.tries + 1 >= chat.limits.tries:
                return Outcome("failed", str(exc))
            log.warning(
                "the model broke off", turn_id=attempt.claim.turn_id, tries=attempt.claim.tries, reason=str(exc)
            )
            raise AttemptOver from exc  # not let go of: it counts as a try
        except Unavailable as exc:
            place.leave()
            if patience.is_over():
                return Outcome("failed", f"{exc.server} was away for too long: {exc.reason}")
            await _wait(attempt, exc, chat, ending, patience)


async def _answer(attempt: Attempt, chat: Chat, ending: Ending) -> Outcome:
    """Retrieve, prompt, generate: what is done already is not done again."""
    if attempt.alias is None:
        chat.models.named(attempt.event.model)  # raises Invalid that names those there are
    assert attempt.alias is not None
    attempt.parameters = merged(attempt.event.parameters, attempt.alias.parameters)
    if not attempt.stream.seq:
        await attempt.stream.started(retrieving=chat.prepare.passages(attempt) > 0)
        await chat.reached("started")
    if attempt.prompt is None:
        await chat.prepare(attempt)
        await chat.reached("retrieved")
    if ending.why:
        return must_end(ending)
    return await generate(attempt, chat.providers[attempt.alias.provider], ending)


async def _wait(attempt: Attempt, exc: Unavailable, chat: Chat, ending: Ending, patience: "Patience") -> None:
    """Says what is waited for, and waits a little; an attempt that has said something is over then, and is no try."""
    log.warning("waiting for a server", server=exc.server, reason=exc.reason, turn_id=attempt.claim.turn_id)
    try:
        if exc.server != "kafka":
            await attempt.stream.waiting(exc.server)
        attempt.stream.check()
    except Unavailable as lost:
        exc = lost
    await ending.within(patience.next_wait(anew=attempt.stream.position > 0))
    if attempt.stream.position or exc.server == "kafka":
        await until_available("postgres", partial(chat.turns.let_go, attempt.claim))
        raise AttemptOver from exc


async def finish(attempt: Attempt, outcome: Outcome, chat: Chat) -> None:
    """Seals what an attempt came to, and says it; raises AttemptOver when the turn is somebody else's."""
    claim = attempt.claim
    record = await until_available("objects", lambda: record_of(attempt, outcome, chat.objects))
    record, encoded = await until_available("objects", lambda: fitting(record, chat.publisher, chat.objects))
    ended = Sealed(claim.turn_id, claim.attempt, record.seq, record.length, record.status, record.reason, encoded)
    await attempt.stream.settled(
        SETTLE_SECONDS
    )  # who dies after the seal leaves a stream that lacks nothing but its end
    if not await until_available("postgres", lambda: chat.turns.seal(claim, record, encoded)):
        sealed = await until_available("postgres", lambda: chat.turns.owner_known(claim.turn_id))
        if sealed is None:
            raise AttemptOver
        ended = sealed  # by another attempt, or by this one in a statement whose answer was lost
    await chat.reached("sealed")
    key, partition = claim.conversation_id, attempt.asked.partition
    if ended.attempt == claim.attempt:
        chat.history.remember(attempt.event.user_id, claim.turn_id, _answered(attempt, record.status))
        await chat.say.record(key, partition, ended)
        await attempt.stream.settled()
        await chat.say.end(key, partition, ended)
    else:
        await chat.say.again(key, partition, ended)


def _answered(attempt: Attempt, status: str) -> Answered:
    earlier = Earlier(question=attempt.question, answer=attempt.stream.text, status=status)  # type: ignore[arg-type]
    return Answered(earlier, attempt.claim.parent_turn_id)


class Patience:
    """How long a turn has waited for servers since one of them last did something for it."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._since, self._tried = seconds, 0, 0

    def next_wait(self, *, anew: bool) -> float:
        """Seconds to wait now; `anew`: something came of the last try."""
        if anew or not self._since:
            self._since, self._tried = now_ms(), 0
        self._tried += 1
        return backoff_seconds(self._tried, LONGEST_WAIT_SECONDS)

    def is_over(self) -> bool:
        """Whether it waited long enough."""
        return bool(self._since) and now_ms() - self._since > self._seconds * 1000
