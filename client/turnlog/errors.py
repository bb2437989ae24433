"""What can go wrong between a client and a server, each with its cause and its cure."""

import json
from typing import Any

import httpx

NOT_ALLOWED = 4


class TurnlogError(Exception):
    """Something did not work; `cure` says what to do about it."""

    exit_code = 1

    def __init__(self, cause: str, cure: str = "") -> None:
        super().__init__(f"{cause}\n{cure}" if cure else cause)
        self.cause, self.cure = cause, cure


class NoKey(TurnlogError):
    """There is no key to show the server."""

    exit_code = NOT_ALLOWED


class Unreachable(TurnlogError):
    """No answer from the server, even after some tries."""

    exit_code = 3


class NotTurnlog(TurnlogError):
    """What answered is another server."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"{cause}: that is no Turnlog server", "Give its address: TURNLOG_URL, or --url.")


class Problem(TurnlogError):
    """The server said no, in the words of RFC 9457."""

    def __init__(self, status: int, cause: str, more: dict[str, Any] | None = None) -> None:
        super().__init__(cause, CURES.get(status, ""))
        self.status, self.more = status, more or {}
        self.exit_code = NOT_ALLOWED if status in (401, 403) else 1

    @property
    def kind(self) -> str:
        """Its stable name, such as `unknown-collection`; empty when a proxy answered."""
        return str(self.more.get("type", "")).rpartition(":")[2]

    @classmethod
    def of(cls, answer: httpx.Response) -> "Problem":
        """The problem that an answer tells; the body may be anything when a proxy wrote it."""
        try:
            told = json.loads(answer.content)
        except ValueError:
            told = None
        status_line = f"{answer.status_code} {answer.reason_phrase}"
        if answer.has_redirect_location:
            return cls(answer.status_code, f"{status_line}: {answer.request.url} is at {answer.headers['location']}")
        if not isinstance(told, dict):
            return cls(answer.status_code, f"{status_line} {answer.text[:200].strip()}".strip())
        return cls(answer.status_code, str(told.get("detail") or told.get("title") or status_line), told)


ELSEWHERE = "Give the address that it names, often the one with https://: TURNLOG_URL, or --url."
CURES = {
    **dict.fromkeys((301, 302, 303, 307, 308), ELSEWHERE),
    400: "Correct that; `--help` of the command has examples.",
    401: "Give a working key: set TURNLOG_KEY, or --key. Beside a local run it lies in .turnlog/key.",
    403: "Ask for a key with the scope that this needs.",
    404: "It does not exist, or this key may not see it.",
    409: "See what is there, or take another name.",
    413: "Send less at once, or split the document.",
    415: "Say what it is: --type; text, Markdown, HTML and PDF can be read.",
    422: "Correct that; `--help` of the command has examples.",
    429: "Wait a little, or ask for higher limits of this key.",
    503: "Try again in a moment; `turnlog status` says what is not ready.",
}
