"""Any OpenAI-compatible endpoint: `POST {url}/chat/completions` with `stream: true`."""

from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from infra.providers.dialect import Said
from infra.providers.request import GenerateRequest, ModelFailed, PromptFormat, set_parameters
from schemas.errors import Invalid, Refused, Unavailable


class OpenAIDialect:
    """Chat completions, https://platform.openai.com/docs/api-reference/chat-streaming."""

    prompt_format: PromptFormat = "messages"
    says_that_it_ended = True

    def __init__(self, name: str, url: str, key: SecretStr | None) -> None:
        found = urlsplit(url)
        self._name, self._host, self._path = name, found.netloc, found.path.rstrip("/")
        self._key = key.get_secret_value() if key else ""
        self._authorization = f"authorization: Bearer {self._key}\r\n" if key else ""

    def request(self, asked: GenerateRequest) -> bytes:
        """The whole HTTP request; the messages go in as the bytes that they are."""
        rest = {"model": asked.model, "stream": True, "stream_options": {"include_usage": True}}
        body = b'{"messages":' + asked.prompt + b"," + orjson.dumps(rest | set_parameters(asked.parameters))[1:]
        head = (
            f"POST {self._path}/chat/completions HTTP/1.1\r\nhost: {self._host}\r\n{self._authorization}"
            f"accept: text/event-stream\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def read(self, data: bytes, said: Said) -> str:
        """The text of one chunk; its usage and the reason of its end go to `said`."""
        if data == b"[DONE]":
            said.finish, said.done = said.finish or "completed", True
            return ""
        try:
            return self._chunk(orjson.loads(data), said)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, IndexError) as exc:
            sent = self._masked(data.decode(errors="replace"))[:80]
            raise ModelFailed(self._name, f"sent what is no chunk of a chat completion: {sent!r}") from exc

    def problem(self, status: int, body: bytes) -> Exception:
        """What a response other than 200 means."""
        try:
            error = orjson.loads(body)["error"]
            reason, code = self._masked(str(error.get("message", "")))[:200], error.get("code")
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            reason, code = "", None
        if code in ("content_filter", "content_policy_violation"):
            return Refused(f"{self._name}: {reason or 'its policy forbids this'}")
        if status in (401, 403):
            return Unavailable(self._name, f"it does not accept our API key (status {status})")
        if status in (400, 404, 413, 422):
            return Invalid(f"{self._name}: {reason or 'it does not accept this request'} (status {status})")
        return Unavailable(self._name, f"{reason or 'no reason given'} (status {status})")

    def _chunk(self, chunk: Any, said: Said) -> str:
        if error := chunk.get("error"):
            raise ModelFailed(self._name, self._masked(str(error.get("message", error)))[:200])
        if usage := chunk.get("usage"):
            said.prompt_tokens = _count(usage.get("prompt_tokens"))
            said.completion_tokens = _count(usage.get("completion_tokens"))
        ours = [choice for choice in chunk.get("choices") or () if not choice.get("index")]  # one answer was asked for
        if not ours:
            return ""
        self._finish(ours[0].get("finish_reason"), said)
        return str((ours[0].get("delta") or {}).get("content") or "")

    def _finish(self, reason: str | None, said: Said) -> None:
        if reason == "content_filter":
            raise Refused(f"{self._name}: its content filter ended this answer")
        if reason:
            said.finish = "length" if reason == "length" else "completed"

    def _masked(self, text: str) -> str:
        """Without the key: some servers repeat the header that they do not like, and this text goes to the record."""
        return text.replace(self._key, "***") if self._key else text


def _count(value: Any) -> int | None:
    """A number of tokens as the record and the views can hold it; servers send anything."""
    return value if type(value) is int and 0 <= value < 2**31 else None
