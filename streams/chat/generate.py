"""The model's words into the stream, its markers checked on the way."""

from infra.providers.provider import GenerateRequest, Provider
from schemas.answers import Usage
from schemas.turns import Parameters
from streams.chat.attempt import Attempt, Outcome
from streams.chat.citations import Citations, Cited
from streams.chat.ending import Ending


async def generate(attempt: Attempt, provider: Provider, ending: Ending) -> Outcome:
    """Streams an answer until it ends or must end; raises Unavailable, Refused or Invalid."""
    assert attempt.alias is not None
    assert attempt.prompt is not None
    citations = Citations(len(attempt.passages)) if attempt.retrieved else None
    request = GenerateRequest(
        turn_id=attempt.claim.turn_id,
        model=attempt.alias.model,
        prompt=attempt.prompt.sent,
        parameters=attempt.parameters,
    )

    async def say(piece: str) -> None:
        await _say(attempt, citations.feed(piece) if citations else Cited(text=piece))

    async with provider.generate(request, say) as generation:
        try:
            with ending.calls(generation.stop):
                ended = await generation.ended()
        finally:
            attempt.first_piece_at = generation.first_piece_at
            attempt.usage = Usage(pieces=generation.pieces)
    attempt.usage = ended.usage
    if citations:
        await _say(attempt, citations.end())
    if ended.status == "stopped":
        return must_end(ending)
    return Outcome("completed", "length" if ended.status == "length" else None)


def must_end(ending: Ending) -> Outcome:
    """What becomes of a turn that must end."""
    if ending.why == "deadline":
        return Outcome("failed", "its deadline passed")
    return Outcome("stopped")


def merged(asked: Parameters, default: Parameters) -> Parameters:
    """The parameters to send: those asked for, else the alias's."""
    given = {name: value for name, value in vars(asked).items() if value is not None}
    return Parameters(**(vars(default) | given))


async def _say(attempt: Attempt, cited: Cited) -> None:
    attempt.citations += cited.citations
    await attempt.stream.extend(cited.text)
