"""/v1/chat/completions and /v1/embeddings: OpenAI's SDKs as they are. Every completion is a turn."""

import asyncio
import base64
import time
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from numpy import float32
from numpy.typing import NDArray

from api.accept import Accepted, digest_of, idempotency_key
from api.ask import Asked, AskedParameters, Before, Question, ask
from api.auth import Authenticated, Chats, admitted, require, unauthenticated
from api.caller import Caller
from api.consistency import POSITION
from api.fields import Sent
from api.openai.completion import Completion
from api.openai.leaving import stop_unless_read
from api.openai.shapes import CompletionRequest, EmbeddingRequest
from api.problems import Problem
from api.quick import plain_body, quick
from api.routes.turns import IdempotencyKey
from api.services import Opened, Services
from api.stream.frames import Place
from api.stream.response import hung_up
from infra.triton.embedder import Embedder
from infra.triton.tokens import PASSAGE_TOKENS, Tokens
from infra.waiting import end
from schemas.turns import Label
from topics.catalogue import TURNS

router = APIRouter(prefix="/v1", tags=["openai"])
EMBEDDER, DIMENSIONS = "embedder", 384
TOGETHER = 16  # texts of one caller that are embedded before another caller has its turn
Detach = Annotated[bool, Header(alias="x-turnlog-detach", description="answer to the end though nobody reads")]


async def complete(
    asked: Sent[CompletionRequest],
    request: Request,
    caller: Chats,
    services: Opened,
    idempotency_key_header: Annotated[IdempotencyKey, Header(alias="idempotency-key")] = None,
    detach: Detach = False,
) -> Response:
    """An answer to the last message, streamed or whole.

    `x-turnlog-turn` names the turn. A reader that leaves stops it after 5 s, unless somebody else reads it, it was
    detached, or an Idempotency-Key was given: then its rest is at `/v1/turns/{turn_id}/events`.
    """
    check_model(services, asked.model)
    key = idempotency_key(idempotency_key_header)
    digest = digest_of("POST", request.url.path, await request.body())
    accepted = await ask(services, Asked(caller, key, digest, None), *turn_of(asked))
    completion = Completion(
        accepted.reference,
        asked.model,
        int(time.time()),
        services.live.look(caller, accepted.reference).told,
        usage=bool(asked.stream_options and asked.stream_options.include_usage),
    )
    left = partial(_left, services, caller, accepted, completion) if not (detach or key) else None
    head = {"x-turnlog-turn": accepted.reference, POSITION: f"{TURNS.name}/{accepted.position}"}
    if asked.stream:
        return services.live.stream(
            caller,
            accepted.reference,
            Place(),
            head,
            new=not accepted.repeated,
            said_as=completion.chunks,
            left=left,
        )
    with ExitStack() as stack:
        if left is not None:
            stack.callback(left)
        frames = stack.enter_context(
            services.live.following(caller, accepted.reference, Place(), new=not accepted.repeated)
        )
        whole = await _unless_gone(request, completion.whole(frames), services.live.until_closed(caller))
    return Response(orjson.dumps(whole), 200, head, "application/json")


async def _complete_quickly(request: Request) -> Response | None:
    if "x-turnlog-detach" in request.headers:
        return None
    caller, services = await admitted(request, "chat")
    asked = await plain_body(request, CompletionRequest)
    if asked is None:
        return None
    return await complete(asked, request, caller, services, request.headers.get("idempotency-key"))


router.add_api_route("/chat/completions", complete, methods=["POST"], route_class_override=quick(_complete_quickly))


@router.post("/embeddings")
async def embed(asked: Sent[EmbeddingRequest], request: Request, caller: Authenticated, services: Opened) -> Response:
    """Unit vectors of texts, of 384 numbers each. A text beyond 254 tokens is refused, not cut."""
    require(caller, "search")
    if asked.model != EMBEDDER:
        raise no_model(asked.model, [EMBEDDER])
    if asked.dimensions not in (None, DIMENSIONS):
        raise Problem(422, "invalid", f"dimensions: {EMBEDDER} has {DIMENSIONS}, and no others", param="dimensions")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    tokens = await asyncio.to_thread(_counts, services.settings.embedder_tokenizer, texts)
    if (most := max(tokens)) > PASSAGE_TOKENS:
        raise Problem(
            422, "too-long", f"input: a text of {most} tokens; {PASSAGE_TOKENS} are read at once", param="input"
        )
    until_closed = services.live.until_closed(caller)
    vectors = await _unless_gone(request, _vectors(services.embedder, texts), until_closed)
    as_base64 = asked.encoding_format == "base64"
    data: list[dict[str, Any]] = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    used = {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}
    return Response(
        orjson.dumps({"object": "list", "data": data, "model": EMBEDDER, "usage": used}), 200, None, "application/json"
    )


def check_model(services: Services, model: str) -> None:
    """Raises the 404 that OpenAI's clients know for a model that is not there."""
    aliases = services.models.models.aliases
    if model not in aliases:
        raise no_model(model, list(aliases))


def no_model(model: str, there_are: list[str]) -> Problem:
    """What it is called, and what there is."""
    return Problem(404, "model-not-found", f"no model {model!r}; there are {', '.join(there_are)}", param="model")


def turn_of(asked: CompletionRequest) -> tuple[Question, Before]:
    """The last message is the question; what was said before goes with it as it is."""
    *earlier, last = asked.messages
    if last.role != "user" or not last.text:
        raise Problem(
            422, "invalid", "messages: the last one asks, so it has the role user and a text", param="messages"
        )
    if asked.max_tokens and asked.max_completion_tokens and asked.max_tokens != asked.max_completion_tokens:
        raise Problem(422, "invalid", "max_tokens and max_completion_tokens differ: give one", param="max_tokens")
    if asked.stream_options and not asked.stream:
        raise Problem(422, "invalid", "stream_options are for a stream: say stream, too", param="stream_options")
    given = asked.model_dump(include={"temperature", "top_p", "seed", "stop"})
    parameters = AskedParameters(max_tokens=asked.max_completion_tokens or asked.max_tokens, **given)
    labels = [Label(name=name, value=value) for name, value in (asked.metadata or {}).items()]
    if asked.user is not None:
        labels.append(Label(name="user", value=asked.user))
    said = [("system" if message.role == "developer" else message.role, message.text) for message in earlier]
    return Question(question=last.text, model=asked.model, parameters=parameters), Before(messages=said, labels=labels)


def _left(services: Services, caller: Caller, accepted: Accepted, completion: Completion) -> None:
    if not completion.over:
        services.background.start(stop_unless_read(services, caller, accepted.reference, accepted.record_key))


async def _unless_gone(request: Request, whole: Any, until_closed: Any) -> Any:
    """The whole answer, cancelled when the client hangs up before, or its key is closed; raises a problem then."""
    answer, closed = asyncio.ensure_future(whole), asyncio.ensure_future(until_closed)
    gone = asyncio.ensure_future(hung_up(request.receive))
    try:
        await asyncio.wait({answer, gone, closed}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if closed.done():
            raise unauthenticated("this key was closed while it waited")
        raise Problem(499, "client-gone", "the client hung up")
    finally:
        await end((answer, gone, closed))


async def _vectors(embedder: Embedder, texts: list[str]) -> list[NDArray[float32]]:
    vectors: list[NDArray[float32]] = []
    for first in range(0, len(texts), TOGETHER):
        vectors.extend(await embedder.embed(texts[first : first + TOGETHER], priority="ingest"))
    return vectors


@cache
def _tokenizer(path: Path) -> Tokens:
    return Tokens.read(path)


def _counts(path: Path, texts: list[str]) -> list[int]:
    return [_tokenizer(path).count(text) for text in texts]
