"""A real issuer in a process of its own, and the keys it signs with: tests can also sign what it never would."""

import asyncio
import json
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from ops.locked import locked

SCRIPT = Path(__file__).parent / "process" / "serve.py"
AUDIENCE = "turnlog"
SECRET = "not a secret"
SECONDS = 60


class SigningKey:
    """An RSA key with an id."""

    def __init__(self, kid: str) -> None:
        self.kid, self.private = kid, rsa.generate_private_key(65537, 2048)

    @property
    def jwk(self) -> dict[str, Any]:
        """As the issuer reads it, private."""
        made = RSAAlgorithm.to_jwk(self.private, as_dict=True)
        return {name: value for name, value in made.items() if name != "key_ops"} | {"kid": self.kid}


class RunningIssuer:
    """It signs with `key`. `url` is what its tokens call it."""

    def __init__(self, process: Process, url: str, key: SigningKey) -> None:
        self._process, self.url, self.key = process, url, key

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator["RunningIssuer"]:
        """Killed at the end."""
        key, python = SigningKey("first"), await asyncio.to_thread(locked, "issuer")
        process = await asyncio.create_subprocess_exec(str(python / "python"), str(SCRIPT), stdin=PIPE, stdout=PIPE)
        try:
            port = await cls._say(process, [key.jwk])
            issuer = cls(process, f"http://127.0.0.1:{int(port)}", key)
            await issuer.change(clients={AUDIENCE: SECRET, "another": SECRET})
            yield issuer
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def change(self, **what: Any) -> None:
        """Says who there is: users with passwords, groups with members."""
        await self._say(self._process, what)

    async def rotate(self, kid: str) -> None:
        """From now on another key signs, and the old one is not there any more."""
        self.key = SigningKey(kid)
        await self.change(keys=[self.key.jwk])

    async def token(self, user: str, client: str = AUDIENCE) -> str:
        """What the issuer gives a user who says its password (which is its name)."""
        asked = {"grant_type": "password", "username": user, "password": user, "scope": "openid profile groups"}
        async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as http:
            answer = await http.post(f"{self.url}/oauth/token", data=asked, auth=(client, SECRET))
        assert answer.is_success, answer.text
        return str(answer.json()["access_token"])

    def signed(self, subject: str, *, key: SigningKey | None = None, lasts: float = 60, **claims: Any) -> str:
        """A token that the issuer might have made; None takes a claim out."""
        now, key = int(time.time()), key or self.key
        said = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + lasts} | claims
        kept = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(kept, key.private, "RS256", {"kid": key.kid})

    @staticmethod
    async def _say(process: Process, what: Any) -> str:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(what).encode() + b"\n")
        async with asyncio.timeout(SECONDS):
            answer = await process.stdout.readline()
        assert answer, "the issuer ended"
        return answer.decode().strip()
