"""Streaming extractive answers, decoupled: one response a word.

Every request becomes a task on one event loop, so execute() returns at once and many answers are in flight in one
instance. Sentences are embedded by the embedder of this server (BLS).
"""

import asyncio
import json
import sys
import threading
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, str(Path(__file__).parent))
import extract
import frame

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def value(request, name, default):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0]


def failure(text, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, getattr(pb_utils.TritonError, code)))


def response(text, finish_reason=None):
    said = {"text_output": text} | ({"finish_reason": finish_reason} if finish_reason else {})
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, np.array([each.encode()], dtype=np.object_)) for name, each in said.items()]
    )


class TritonPythonModel:
    """text_input -> text_output, word by word: only sentences of the passages shown, each cited."""

    def initialize(self, args):
        settings = {key: each["string_value"] for key, each in json.loads(args["model_config"])["parameters"].items()}
        self.embedder = settings["embedder"]
        self.limit = int(settings["max_in_flight"])
        self.in_flight = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def execute(self, requests):
        for request in requests:
            asyncio.run_coroutine_threadsafe(self.serve(request), self.loop)

    async def serve(self, request):
        sender = request.get_response_sender()
        if self.in_flight >= self.limit:
            busy = failure("unavailable: answerer is at its limit of answers in flight", "UNAVAILABLE")
            return sender.send(busy, flags=FINAL)
        self.in_flight += 1
        try:
            await self.answer(request, sender)
        except ValueError as problem:
            sender.send(failure(f"invalid: {problem}", "INVALID_ARG"), flags=FINAL)
        except Exception as problem:  # noqa: BLE001 - the stream must always end
            sender.send(failure(f"answerer failed: {problem}", "INTERNAL"), flags=FINAL)
        finally:
            self.in_flight -= 1

    async def answer(self, request, sender):
        text = value(request, "text_input", b"").decode("utf-8", "replace")
        stream = bool(value(request, "stream", False))
        echo = not bool(value(request, "exclude_input_in_output", stream))
        if echo and stream:
            raise ValueError("When streaming, `exclude_input_in_output` = False is not allowed.")
        sampling = json.loads(value(request, "sampling_parameters", b"{}") or b"{}")
        limit, all_pieces = int(sampling.get("max_tokens", 1024)), await self.pieces(text)
        pieces, reason = all_pieces[:limit], None
        if value(request, "return_finish_reason", False):
            reason = "length" if len(all_pieces) > limit else "stop"
        if not stream:
            return sender.send(response((text if echo else "") + "".join(pieces), reason), flags=FINAL)
        for number, piece in enumerate(pieces, 1):
            if sender.is_cancelled():
                return sender.send(failure("cancelled", "CANCELLED"), flags=FINAL)
            sender.send(response(piece, reason if number == len(pieces) else None))
            await asyncio.sleep(0)
        return sender.send(flags=FINAL)

    async def pieces(self, text):
        question = extract.question_of(frame.questions(text))
        found = extract.candidates(question, frame.passages(text))
        vectors = await self.embed([question] + [candidate[1] for candidate in found]) if found else None
        chosen = extract.choose(found, vectors) if found else []
        return list(extract.pieces(chosen))

    async def embed(self, texts):
        return np.stack(await asyncio.gather(*(self.vector(text) for text in texts)))

    async def vector(self, text):
        """One text a call: the response cache keys on whole requests, and passages recur."""
        call = pb_utils.InferenceRequest(
            model_name=self.embedder,
            requested_output_names=["embedding"],
            inputs=[pb_utils.Tensor("text", np.array([[text.encode()]], dtype=np.object_))],
        )
        answer = await call.async_exec()
        if answer.has_error():
            raise RuntimeError(answer.error().message())
        return pb_utils.get_output_tensor_by_name(answer, "embedding").as_numpy()[0]

    def finalize(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
