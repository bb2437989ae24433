"""A paced test model: w1 w2 w3 ..., each when its time has come; its log proves what it saw of a stop.

Every request becomes a task on one event loop, so execute() returns at once and many streams run in one instance.
"""

import asyncio
import json
import os
import sys
import threading

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import directive

SEND_SECONDS = 0.0004  # sending one response, the server's part included
LONGEST_SLEEP_SECONDS = 0.25  # so that a stop is seen soon between words that are far apart
ASK_SECONDS = 0.02  # asking whether a stream was cancelled is a round trip to the server
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def value(request, name, default):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0]


def failure(text, code):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))


def response(text):
    return pb_utils.InferenceResponse([pb_utils.Tensor("text_output", np.array([text.encode()], dtype=np.object_))])


class TritonPythonModel:
    """text_input -> text_output, one response a word."""

    def initialize(self, args):
        path = os.environ.get("TURNLOG_WORDS_LOG")
        self.log = open(path, "a", buffering=1) if path else None  # noqa: SIM115
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
            text = value(request, "text_input", b"").decode("utf-8", "replace")
            sampling = json.loads(value(request, "sampling_parameters", b"{}") or b"{}")
            wanted = directive.read(text, sampling.get("max_tokens"))
            if value(request, "stream", False):
                await self.stream(wanted, sender)
            else:
                await asyncio.sleep(wanted.at(wanted.count))
                sender.send(response("".join(f"w{n} " for n in range(1, wanted.count + 1))), flags=FINAL)
        except Exception as problem:  # the stream must always end
            sender.send(failure(f"words failed: {problem}", pb_utils.TritonError.INTERNAL), flags=FINAL)
        finally:
            self.running.discard(sender)

    async def stream(self, wanted, sender):
        """Send each word when it is due; what is late, or dearer to send alone than many streams can afford, together."""
        self.note("started", wanted)
        begun = asked = self.loop.time()
        sent = 0
        while sent < wanted.words:
            now = self.loop.time()
            if now >= asked + ASK_SECONDS:
                asked = now
                if sender.is_cancelled():
                    self.note(f"cancelled after {sent}", wanted)
                    return sender.send(failure("cancelled", pb_utils.TritonError.CANCELLED), flags=FINAL)
            if (due := wanted.due(now - begun)) > sent:
                sender.send(response("".join(f"w{n} " for n in range(sent + 1, due + 1))))
                sent = due
            await asyncio.sleep(self.pause(wanted, begun, sent))
        self.end(wanted, sender)

    def pause(self, wanted, begun, sent):
        """Seconds to the next word, or longer while many streams share this process, but never past the last word."""
        now = self.loop.time()
        following = max(begun + wanted.at(sent), now + len(self.running) * SEND_SECONDS)
        return min(LONGEST_SLEEP_SECONDS, max(0, min(following, begun + wanted.at(wanted.words - 1)) - now))

    def end(self, wanted, sender):
        if wanted.fails:
            self.note(f"failed after {wanted.words}", wanted)
            return sender.send(failure("failed on purpose", pb_utils.TritonError.INTERNAL), flags=FINAL)
        self.note(f"finished {wanted.words}", wanted)
        sender.send(flags=FINAL)

    def note(self, what, wanted):
        if self.log:
            self.log.write(f"{what} marker={wanted.marker}\n")

    def finalize(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
