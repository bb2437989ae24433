"""Triton's `generate_stream` with the tensors of its vLLM backend; token counts are not asked for."""

from urllib.parse import quote, urlsplit

import orjson

from infra.providers.dialect import Said
from infra.providers.request import GenerateRequest, ModelFailed, PromptFormat, set_parameters
from schemas.errors import Invalid, Unavailable


class TritonDialect:
    """HTTP rather than gRPC: in Python it costs a sixteenth of the CPU, and a dropped connection cancels as well."""

    prompt_format: PromptFormat = "text"
    says_that_it_ended = False

    def __init__(self, name: str, url: str) -> None:
        found = urlsplit(url)
        self._name, self._host, self._path = name, found.netloc, found.path.rstrip("/")

    def request(self, asked: GenerateRequest) -> bytes:
        """The whole HTTP request."""
        body = orjson.dumps(
            {
                "id": asked.turn_id,
                "text_input": asked.prompt.decode(),
                "stream": True,
                "exclude_input_in_output": True,
                "return_finish_reason": True,
                "sampling_parameters": orjson.dumps(set_parameters(asked.parameters)).decode(),
            }
        )
        path = f"{self._path}/v2/models/{quote(asked.model, safe='')}/generate_stream"
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def read(self, data: bytes, said: Said) -> str:
        """The text of one event; the reason of its end, which backends before 24.12 do not tell, goes to `said`."""
        try:
            event = orjson.loads(data)
            text = event.get("text_output", "")
            error, finish = event.get("error"), event.get("finish_reason")
        except (orjson.JSONDecodeError, AttributeError) as exc:
            raise ModelFailed(self._name, f"sent an event that is no JSON object: {data[:80]!r}") from exc
        if error is not None:
            raise self._meant(str(error))
        if finish in ("stop", "length"):  # else it goes on
            said.finish = "length" if finish == "length" else "completed"
        return str(text)

    def problem(self, status: int, body: bytes) -> Exception:
        """What a response other than 200 means; an error that comes before any text has 400, whatever its code was."""
        line = body.removeprefix(b"data:").strip()
        try:
            reason = str(orjson.loads(line)["error"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            reason = f"status {status}"
        return self._meant(reason) if status == 400 else Unavailable(self._name, _first_line(reason))

    def _meant(self, error: str) -> Exception:
        reason = _first_line(error)
        if reason.startswith("invalid: "):  # our own models say which of the words they mean
            return Invalid(f"{self._name}: {reason.removeprefix('invalid: ')}")
        if reason.startswith("unavailable: ") or "is not healthy" in reason or "is not ready" in reason:
            return Unavailable(self._name, reason.removeprefix("unavailable: "))
        return ModelFailed(self._name, reason)


def _first_line(error: str) -> str:
    """A traceback with the server's paths may follow."""
    return error.split("\n", 1)[0][:200]
