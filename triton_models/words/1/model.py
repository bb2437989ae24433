"""A paced test model: w1 w2 w3 ..., each when its time has come; its log proves what it saw of a stop.

Every request becomes a task on one event loop, so execute() returns at once and hundreds of streams run in one
instance. TURNLOG_WORDS_LOG names the log: `started`, `cancelled after N`, `failed after N`, `finished N`, with the
request's id (the turn) and the marker of its directive.
"""

import asyncio
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, str(Path(__file__).parent))
import directive

SEND_SECONDS = 0.0004  # sending one response, the server's part included
ASK_SECONDS = 0.1  # asking whether a stream was cancelled is a round trip to the server, dear beside a word
LONGEST_SLEEP_SECONDS = 0.25  # so that a stop is seen soon between words that are far apart
MOST_AT_ONCE = 1000  # words in a response
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
    """text_input -> text_output, one response a word."""

    def initialize(self, _args):
        path = os.environ.get("TURNLOG_WORDS_LOG")
        self.log = Path(path).open("a", buffering=1) if path else None  # noqa: SIM115
        self.running = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def execute(self, requests):
        for request in requests:
            asyncio.run_coroutine_threadsafe(self.serve(request), self.loop)

    async def serve(self, request):
        sender = request.get_response_sender()
        self.running.add(sender)
        try:
            await self.answer(request, sender)
        except ValueError as problem:
            sender.send(failure(f"invalid: {problem}", "INVALID_ARG"), flags=FINAL)
        except Exception as problem:  # noqa: BLE001 - the stream must always end
            sender.send(failure(f"words failed: {problem}", "INTERNAL"), flags=FINAL)
        finally:
            self.running.discard(sender)

    async def answer(self, request, sender):
        text = value(request, "text_input", b"").decode("utf-8", "replace")
        stream = bool(value(request, "stream", False))
        echo = not bool(value(request, "exclude_input_in_output", stream))
        if echo and stream:
            raise ValueError("When streaming, `exclude_input_in_output` = False is not allowed.")
        sampling = json.loads(value(request, "sampling_parameters", b"{}") or b"{}")
        wanted = directive.read(text, sampling.get("max_tokens"))
        reason = wanted.finish_reason if value(request, "return_finish_reason", False) else None
        if stream:
            return await self.stream(wanted, reason, sender, f"turn={request.request_id()} marker={wanted.marker}")
        await asyncio.sleep(wanted.at(wanted.count))
        return sender.send(response((text if echo else "") + wanted.text(0, wanted.count), reason), flags=FINAL)

    async def stream(self, wanted, reason, sender, who):
        """Send each word when it is due; together what is late, or what many streams cannot afford to send alone."""
        self.note("started", who)
        begun = asked = self.loop.time()
        sent = 0
        while sent < wanted.words:
            now = self.loop.time()
            if now >= asked + ASK_SECONDS:
                asked = now
                if sender.is_cancelled():
                    self.note(f"cancelled after {sent}", who)
                    return sender.send(failure("cancelled", "CANCELLED"), flags=FINAL)
            if (due := min(wanted.due(now - begun), sent + MOST_AT_ONCE)) > sent:
                sender.send(response(wanted.text(sent, due), reason if due == wanted.words else None))
                sent = due
            await asyncio.sleep(self.pause(wanted, begun, sent))
        return self.end(wanted, sender, who)

    def pause(self, wanted, begun, sent):
        """Seconds to the next word, or longer while many streams share this process, but never past the last word."""
        now = self.loop.time()
        following = max(begun + wanted.at(sent), now + len(self.running) * SEND_SECONDS)
        return min(LONGEST_SLEEP_SECONDS, max(0, min(following, begun + wanted.at(wanted.words - 1)) - now))

    def end(self, wanted, sender, who):
        if wanted.fails:
            self.note(f"failed after {wanted.words}", who)
            return sender.send(failure("failed on purpose", "INTERNAL"), flags=FINAL)
        self.note(f"finished {wanted.words}", who)
        return sender.send(flags=FINAL)

    def note(self, what, who):
        if self.log:
            self.log.write(f"{what} {who}\n")

    def finalize(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
