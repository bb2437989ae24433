"""Tokens of an OpenID Connect issuer: its keys, fetched and kept; a token, checked (RFC 7519, RFC 8725) and read."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from infra.access import GROUP_NAME, USER_ID
from infra.postgres.moment import LATEST_MS
from infra.settings import Oidc
from infra.waiting import end
from schemas.errors import Invalid, Unavailable

DISCOVERY = "/.well-known/openid-configuration"
ANSWER_BYTES = 1024 * 1024
TOKEN_CHARACTERS = 16 * 1024
NAME_CHARACTERS = 200
NO_TEXT = re.compile("[\0\ud800-\udfff]")  # JSON can say it, and neither UTF-8 nor Postgres can hold it
LOOPBACK = ("127.0.0.1", "::1", "localhost")
log = structlog.get_logger()


class TokenRefused(Exception):
    """A token that opens nothing; says why, and nothing of what is in it."""


@dataclass(frozen=True)
class Claims:
    """What a token that holds says. Times in ms since the Unix epoch; `groups`: sorted, each a possible name."""

    user_id: str
    name: str
    issuer: str
    subject: str
    groups: tuple[str, ...]
    issued_at: int
    expires_at: int


class Issuer:
    """One issuer. Its keys are fetched when first needed, when they are old, and when a token names one it had not."""

    def __init__(self, settings: Oidc, http: httpx.AsyncClient) -> None:
        self._settings, self._http = settings, http
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Oidc) -> AsyncIterator["Issuer"]:
        """Asks the issuer nothing yet: it may be away. Raises Invalid for settings that cannot be meant."""
        check_issuer(settings)
        async with httpx.AsyncClient(timeout=settings.timeout_seconds, follow_redirects=False) as http:
            issuer = cls(settings, http)
            try:
                yield issuer
            finally:
                if issuer._fetching:
                    await end([issuer._fetching])

    async def claims_of(self, token: str) -> Claims:
        """What a token says; raises TokenRefused, or Unavailable while the issuer's keys cannot be had."""
        wanted = self._settings
        if len(token) > TOKEN_CHARACTERS:
            raise TokenRefused(f"this token is longer than {TOKEN_CHARACTERS} characters")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != wanted.algorithm:  # before any key is looked up: the token does not choose
                raise TokenRefused(f"tokens are signed with {wanted.algorithm} here")
            claims = jwt.decode(
                token,
                await self._key(header.get("kid")),
                algorithms=[wanted.algorithm],
                audience=wanted.audience,
                issuer=wanted.issuer,
                leeway=wanted.leeway_seconds,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenRefused("this token has expired: get a new one from its issuer") from None
        except jwt.InvalidAudienceError:
            raise TokenRefused("this token was made for another audience") from None
        except jwt.InvalidIssuerError:
            raise TokenRefused("this token is of another issuer") from None
        except jwt.MissingRequiredClaimError as exc:
            raise TokenRefused(f"this token lacks the claim {exc.claim}") from None
        except jwt.ImmatureSignatureError:
            raise TokenRefused("this token is not valid yet: is a clock wrong?") from None
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise TokenRefused("this token's signature or form does not hold") from None
        return self._read(claims)

    def _read(self, claims: Mapping[str, Any]) -> Claims:
        wanted, subject = self._settings, claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 255 or NO_TEXT.search(subject):
            raise TokenRefused("the claim sub is not a text of at most 255 characters")
        if wanted.user_claim == "email" and claims.get("email_verified") is False:
            raise TokenRefused("its issuer has not verified this token's e-mail address")
        called = claims.get(wanted.user_claim)
        if not isinstance(called, str):
            raise TokenRefused(f"this token lacks the claim {wanted.user_claim}")
        name = claims.get("name")
        return Claims(
            user_id=user_id_of(called, wanted.issuer, subject),
            name=_printable(name if isinstance(name, str) else "") or _printable(called) or subject,
            issuer=wanted.issuer,
            subject=subject,
            groups=groups_in(claims.get(wanted.groups_claim)),
            issued_at=_ms(claims["iat"]),
            expires_at=_ms(claims["exp"]),
        )

    async def _key(self, kid: object) -> jwt.PyJWK:
        age = time.monotonic() - self._fetched_at
        known = self._named(kid)
        if known is None or age > self._settings.keys_forgotten_seconds:
            if fetching := self._fetch():
                await asyncio.shield(fetching)
            if not self._keys or time.monotonic() - self._fetched_at > self._settings.keys_forgotten_seconds:
                raise Unavailable("issuer", "its keys could not be fetched")
            known = self._named(kid)
        elif age > self._settings.keys_fresh_seconds:
            self._fetch()  # nobody waits for it: those that are kept will do meanwhile
        if known is None:
            raise TokenRefused("no key of the issuer has signed this token")
        return known

    def _named(self, kid: object) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if isinstance(kid, str) else None

    def _fetch(self) -> asyncio.Task[None] | None:
        """Once at a time, and not more often than every few seconds: forged tokens cannot make us ask."""
        if self._fetching is None or self._fetching.done():
            if time.monotonic() - self._tried_at < self._settings.keys_again_seconds:
                return None
            self._tried_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch_once())
        return self._fetching

    async def _fetch_once(self) -> None:
        try:
            keys = await self._fetched()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError, Invalid) as exc:
            reason = f"{type(exc).__name__}: {exc}" if isinstance(exc, httpx.HTTPError) else str(exc)
            log.warning("the issuer's keys could not be fetched", issuer=self._settings.issuer, reason=reason)
            return
        if keys.keys() != self._keys.keys():
            log.info("the issuer's keys", issuer=self._settings.issuer, keys=len(keys))
        self._keys, self._fetched_at = keys, time.monotonic()

    async def _fetched(self) -> dict[str | None, jwt.PyJWK]:
        found = await self._get(self._settings.issuer.rstrip("/") + DISCOVERY)
        if found.get("issuer") != self._settings.issuer:
            raise ValueError("its discovery document is of another issuer")
        check_url(where := str(found.get("jwks_uri")), "jwks_uri")
        listed = (await self._get(where)).get("keys")
        keys = self._usable(listed if isinstance(listed, list) else [])
        if not keys:
            raise ValueError(f"it has no public key for {self._settings.algorithm}")
        return keys

    async def _get(self, url: str) -> dict[str, Any]:
        async with self._http.stream("GET", url, headers={"accept": "application/json"}) as response:
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_BYTES:
                    raise ValueError(f"{url} sends more than {ANSWER_BYTES} bytes")
        found = json.loads(bytes(body))
        if not isinstance(found, dict):
            raise ValueError(f"{url} is no JSON object")
        return found

    def _usable(self, listed: list[Any]) -> dict[str | None, jwt.PyJWK]:
        """The keys for our algorithm, by id. A key of another kind never verifies anything (key confusion).

        Nor does one whose private part (`d`, RFC 7518) is published: anybody can sign with it.
        """
        keys: dict[str | None, jwt.PyJWK] = {}
        for each in listed:
            algorithm = self._settings.algorithm
            if not isinstance(each, dict) or "d" in each:
                continue
            if each.get("use", "sig") == "sig" and each.get("alg", algorithm) == algorithm:
                with suppress(jwt.PyJWTError, ValueError, TypeError, KeyError):
                    kid = each.get("kid")
                    keys[kid if isinstance(kid, str) else None] = jwt.PyJWK(each, algorithm)
        return keys


def check_issuer(settings: Oidc) -> None:
    """Raises Invalid for settings that cannot be meant; asks nobody."""
    check_url(settings.issuer, "TURNLOG_OIDC__ISSUER")
    if not settings.audience:
        raise Invalid("TURNLOG_OIDC__AUDIENCE is not set: without it tokens for anybody would be let in")


def check_url(url: str, what: str) -> None:
    """Raises Invalid for what is no https URL; plain HTTP only to this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise Invalid(f"{what} must be an https:// URL: whoever answers there decides who may come in")


def user_id_of(called: str, issuer: str, subject: str) -> str:
    """The user's id here: what it is called, in lower case; where that cannot be an id, one made of its subject."""
    if re.fullmatch(USER_ID, called.lower()):
        return called.lower()
    return "sub-" + hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:32]


def groups_in(claim: object) -> tuple[str, ...]:
    """The names in a groups claim that a group here can have; a leading slash (a path of one part) is left out."""
    names = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
    found = {name.removeprefix("/") for name in names if isinstance(name, str)}
    return tuple(sorted(name for name in found if re.fullmatch(GROUP_NAME, name)))


def _ms(seconds: object) -> int:
    """A time of a token in ms; raises TokenRefused for what is no number of seconds within the calendar."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds * 1000 <= LATEST_MS:
        raise TokenRefused("this token's times are no seconds since 1970")
    return int(seconds * 1000)


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable()).strip()[:NAME_CHARACTERS]
