"""Texts to vectors by Triton's embedder, one a call: its cache knows whole calls, and no vector depends on others."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import numpy as np
from grpc import StatusCode, aio
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as pb

from infra.settings import Settings
from schemas.errors import Invalid, Unavailable

Priority = Literal["question", "ingest"]
Vectors = NDArray[np.float32]

_MODEL = "embedder"
_LEVEL: dict[Priority, int] = {"question": 1, "ingest": 2}
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),  # gRPC asks HTTP_PROXY for this machine's Triton, too
]


class Embedder:
    """Unit vectors of texts. Questions go before ingest in Triton's queue, whoever asks."""

    def __init__(self, infer: Any, at_once: int) -> None:
        self._infer = infer
        self._slots = asyncio.Semaphore(at_once)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, *, at_once: int = 32) -> AsyncIterator["Embedder"]:
        """An embedder that holds at most `at_once` calls at Triton."""
        async with aio.insecure_channel(settings.triton_grpc, options=_OPTIONS) as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                request_serializer=pb.ModelInferRequest.SerializeToString,
                response_deserializer=pb.ModelInferResponse.FromString,
            )
            yield cls(infer, at_once)

    async def embed(
        self, texts: Sequence[str], priority: Priority = "question", deadline_seconds: float = 30
    ) -> Vectors:
        """float32 [n, 384], in the order of the texts; the deadline is for each. Raises Unavailable, Invalid."""
        if len(texts) == 1:
            return np.stack([await self._vector(texts[0], priority, deadline_seconds)])
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._vector(text, priority, deadline_seconds)) for text in texts]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return np.stack([task.result() for task in tasks]) if tasks else np.empty((0, 0), np.float32)

    async def check(self, deadline_seconds: float) -> None:
        """Raises Unavailable unless the model answers. Asks what no cache knows: Triton calls a dead model ready."""
        await self.embed([uuid.uuid4().hex], deadline_seconds=deadline_seconds)

    async def _vector(self, text: str, priority: Priority, deadline_seconds: float) -> Vectors:
        async with self._slots:
            try:
                answer = await self._infer(_request(text, priority), timeout=deadline_seconds)
            except aio.AioRpcError as exc:
                raise _translated(exc) from exc
        return np.frombuffer(answer.raw_output_contents[0], np.float32)


def _request(text: str, priority: Priority) -> Any:
    request = pb.ModelInferRequest(model_name=_MODEL)
    request.inputs.add(name="text", datatype="BYTES", shape=[1, 1])
    data = text.encode()
    request.raw_input_contents.append(len(data).to_bytes(4, "little") + data)
    request.parameters["priority"].uint64_param = _LEVEL[priority]
    return request


def _translated(exc: aio.AioRpcError) -> Exception:
    """Its own words may hold paths of the server, so only their first line is kept."""
    reason = (exc.details() or exc.code().name).split("\n", 1)[0][:200]
    if exc.code() == StatusCode.INVALID_ARGUMENT:
        return Invalid(f"embedder: {reason}")
    return Unavailable("embedder", reason)
