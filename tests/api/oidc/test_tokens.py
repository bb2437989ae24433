"""Who comes with a token: let in or not, with which rights, for how long."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from datetime import datetime
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from infra.oidc import DISCOVERY, Issuer, TokenRefused, groups_in, user_id_of
from infra.settings import Oidc
from schemas.access import UserSwitched
from tests.api.house import House, after, serving, until_ready
from tests.api.oidc.issuer import AUDIENCE, RunningIssuer, SigningKey
from tests.chatting import SECONDS, answering, conversation, events

FAR = 253_000_000_000  # 9987


async def said_to(house: House, token: str) -> httpx.Response:
    """What the API tells the one with this token of itself."""
    return await (await house.client(token)).get("/v1/me")


async def refused(house: House, token: str) -> str:
    """Why the API does not let it in."""
    answer = await said_to(house, token)
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith('Bearer realm="turnlog"')
    return str(answer.json()["detail"])


async def test_a_user_comes_with_a_token_and_has_its_groups_here(house: House, issuer: RunningIssuer) -> None:
    root = await house.user("root", "admin", "publish")
    await house.group("staff", "root", "root")
    made = await root.post(
        "/v1/collections", json={"collection_id": "plans", "name": "Plans", "readers": ["group:staff"]}
    )
    await issuer.change(users={"ada": "ada"}, groups={"staff": ["ada"], "unknown here": ["ada"], "nowhere": ["ada"]})

    ada = await house.client(await issuer.token("ada"))
    me = (await ada.get("/v1/me")).json()
    assert (me["user_id"], me["scopes"]) == ("ada", ["chat", "publish", "search"])
    assert me["principals"] == ["group:staff", "public", "user:ada"]
    assert (await ada.get("/v1/collections/plans", headers=after(made))).status_code == 200
    assert (await root.get("/v1/users/ada")).json()["name"] == "Ada"

    await asyncio.sleep(1)  # `iat` counts seconds
    await issuer.change(groups={"staff": []})
    later = await house.client(await issuer.token("ada"))
    assert (await later.get("/v1/me")).json()["principals"] == ["public", "user:ada"]
    assert (await ada.get("/v1/collections/plans")).status_code == 404  # the newest token counts, whichever is shown


async def test_groups_last_as_long_as_the_token_that_named_them(house: House, issuer: RunningIssuer) -> None:
    await house.user("root", "admin")
    await house.group("brief", "root", "root")
    token = issuer.signed("tim", lasts=2, groups=["brief"])
    assert "group:brief" in (await said_to(house, token)).json()["principals"]
    own = await house.key("tim")
    async with asyncio.timeout(SECONDS):
        while "group:brief" in (await own.get("/v1/me")).json()["principals"]:
            await asyncio.sleep(0.1)
        while (await said_to(house, token)).status_code == 200:  # clocks may be apart by the leeway
            await asyncio.sleep(0.1)
    assert await refused(house, token) == "this token has expired: get a new one from its issuer"


async def test_a_token_of_many_groups_counts_in_the_last_of_them_too(house: House, issuer: RunningIssuer) -> None:
    await house.user("root", "admin")
    await house.group("zoo", "root", "root")
    many = [f"a{number}" for number in range(1000)]
    assert "group:zoo" in (await said_to(house, issuer.signed("pam", groups=[*many, "zoo"]))).json()["principals"]


async def test_members_of_the_group_that_is_configured_administer(house: House, issuer: RunningIssuer) -> None:
    boss = await house.client(issuer.signed("boss", groups=["operators"]))
    assert "admin" in (await boss.get("/v1/me")).json()["scopes"]
    assert (await boss.post("/v1/users", json={"user_id": "new", "name": "New"})).status_code == 201
    other = await house.client(issuer.signed("clerk", groups=["operators2"]))
    assert (await other.post("/v1/users", json={"user_id": "newer", "name": "New"})).status_code == 404


async def test_a_key_for_oneself_ends_with_the_token_that_made_it_and_so_does_the_next(
    house: House, issuer: RunningIssuer
) -> None:
    token = issuer.signed("chief", lasts=3600, groups=["operators"])
    asked = {"name": "mine", "scopes": ["admin", "chat"]}
    ends = jwt.decode(token, options={"verify_signature": False})["exp"] + house.settings.oidc.leeway_seconds
    for _ in range(2):
        made = (await (await house.client(token)).post("/v1/keys", json=asked)).json()
        assert datetime.fromisoformat(made["expires_at"]).timestamp() == ends
        token = made["key"]
    chief = await house.client(token)
    assert (await chief.post("/v1/users", json={"user_id": "robot", "name": "Robot"})).status_code == 201
    stays = await chief.post("/v1/keys", json={"user_id": "robot", "name": "stays", "scopes": ["chat"]})
    assert (stays.status_code, stays.json()["expires_at"]) == (201, None)


def none_of(issuer: RunningIssuer) -> str:
    """Signed by nobody."""
    head, body, _ = issuer.signed("ada").split(".")
    plain = json.loads(base64.urlsafe_b64decode(head + "=="))
    return f"{_part(plain | {'alg': 'none'})}.{body}."


def confused(issuer: RunningIssuer) -> str:
    """Signed with the public key as if it were a shared secret (RFC 8725, 2.1)."""
    pem = issuer.key.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _, body, _ = issuer.signed("ada").split(".")
    said = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.key.kid})}.{body}"
    return f"{said}.{_encoded(hmac.digest(pem, said.encode(), hashlib.sha256))}"


def changed(issuer: RunningIssuer) -> str:
    """Another's name under one's own signature."""
    head, body, signature = issuer.signed("eve").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{_part(claims | {'sub': 'ada'})}.{signature}"


def brought(issuer: RunningIssuer) -> str:
    """With the key that verifies it in its own header."""
    mine = SigningKey(issuer.key.kid)
    public = {name: value for name, value in mine.jwk.items() if name in ("kty", "n", "e", "kid")}
    claims = jwt.decode(issuer.signed("ada"), options={"verify_signature": False})
    return jwt.encode(claims, mine.private, "RS256", {"kid": mine.kid, "jwk": public, "jku": "http://127.0.0.1:1/"})


def _part(said: dict[str, Any]) -> str:
    return _encoded(json.dumps(said).encode())


def _encoded(said: bytes) -> str:
    return base64.urlsafe_b64encode(said).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (none_of, "tokens are signed with RS256 here"),
        (confused, "tokens are signed with RS256 here"),
        (changed, "signature or form does not hold"),
        (brought, "signature or form does not hold"),
        (lambda it: it.signed("ada", key=SigningKey(it.key.kid)), "signature or form does not hold"),
        (lambda it: it.signed("ada", key=SigningKey("unknown")), "no key of the issuer has signed"),
        (lambda it: it.signed("ada", lasts=-10), "has expired"),
        (lambda it: it.signed("ada", aud="another"), "another audience"),
        (lambda it: it.signed("ada", aud=None), "lacks the claim aud"),
        (lambda it: it.signed("ada", exp=None), "lacks the claim exp"),
        (lambda it: it.signed("ada", iat=None), "lacks the claim iat"),
        (lambda it: it.signed("ada", iat=int(time.time()) + 600), "not valid yet"),
        (lambda it: it.signed("ada", nbf=int(time.time()) + 600), "not valid yet"),
        (lambda it: it.signed("ada", iss="https://evil.example.org"), "another issuer"),
        (lambda it: it.signed("ada", iss=it.url + "/"), "another issuer"),
        (lambda it: it.signed(""), "the claim sub"),
        (lambda it: it.signed("x" * 300), "the claim sub"),
        (lambda it: it.signed("half \ud83d"), "the claim sub"),
        (lambda it: it.signed("nul \0"), "the claim sub"),
        (lambda it: it.signed("ada", iat=True), "no seconds since 1970"),
        (lambda it: it.signed("ada", iat="9"), "no seconds since 1970"),
        (lambda it: it.signed("ada", iat=-1e300), "no seconds since 1970"),
        (lambda it: it.signed("ada", exp="9" * 12), "no seconds since 1970"),
        (lambda it: it.signed("ada", exp=1e300), "no seconds since 1970"),
        (lambda it: it.signed("ada", exp="soon"), "signature or form"),
        (lambda it: it.signed("ada", exp=1e400), "signature or form"),
        (lambda it: it.signed("ada", padding="x" * 20_000), "longer than"),
        (lambda it: "a.b.c", "signature or form"),
        (lambda it: "..", "signature or form"),
        (lambda it: _part({"alg": ["RS256"]}) + ".e30.AA", "signed with RS256"),
    ],
)  # fmt: skip
async def test_a_token_that_does_not_hold_opens_nothing(
    house: House, issuer: RunningIssuer, forged: Any, why: str
) -> None:
    assert why in await refused(house, forged(issuer))


async def test_a_key_whose_private_part_is_published_verifies_nothing() -> None:
    leaked, kept, url = SigningKey("leaked"), SigningKey("kept"), "http://127.0.0.1:9"
    jwks = [leaked.jwk, {name: value for name, value in kept.jwk.items() if name in ("kty", "n", "e", "kid")}]
    said = {DISCOVERY: {"issuer": url, "jwks_uri": f"{url}/jwks"}, "/jwks": {"keys": jwks}}

    async def listed(request: Request) -> JSONResponse:
        return JSONResponse(said[request.url.path])

    app = Starlette(routes=[Route(path, listed) for path in said])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        trusting = Issuer(Oidc(issuer=url, audience=AUDIENCE), http)
        claims = {"iss": url, "aud": AUDIENCE, "sub": "ada", "iat": 1, "exp": FAR}
        tokens = {key.kid: jwt.encode(claims, key.private, "RS256", {"kid": key.kid}) for key in (leaked, kept)}
        assert (await trusting.claims_of(tokens["kept"])).subject == "ada"
        with pytest.raises(TokenRefused, match="no key of the issuer"):
            await trusting.claims_of(tokens["leaked"])


async def test_a_token_that_the_issuer_made_for_somebody_else_opens_nothing(
    house: House, issuer: RunningIssuer
) -> None:
    await issuer.change(users={"rita": "rita"})
    assert "another audience" in await refused(house, await issuer.token("rita", client="another"))
    assert (await said_to(house, await issuer.token("rita"))).status_code == 200


async def test_clocks_may_be_apart_by_the_leeway(house: House, issuer: RunningIssuer) -> None:
    assert (await said_to(house, issuer.signed("early", iat=int(time.time()) + 1))).status_code == 200


async def test_a_name_stays_with_whoever_had_it_first(house: House, issuer: RunningIssuer) -> None:
    await house.user("local")
    assert "somebody else's here" in await refused(house, issuer.signed("local"))
    assert (await said_to(house, issuer.signed("Twin"))).json()["user_id"] == "twin"
    assert "somebody else's here" in await refused(house, issuer.signed("TWIN"))
    odd = (await said_to(house, issuer.signed("auth0|1234"))).json()["user_id"]
    assert odd == user_id_of("auth0|1234", issuer.url, "auth0|1234")
    assert odd.startswith("sub-")


async def test_a_user_that_is_switched_off_does_not_come_back_with_a_new_token(
    house: House, issuer: RunningIssuer
) -> None:
    token = issuer.signed("otto")
    assert (await said_to(house, token)).status_code == 200
    await house.access(UserSwitched(user_id="otto", enabled=False, changed_by="test"))
    assert "switched off" in await refused(house, token)
    assert "switched off" in await refused(house, issuer.signed("otto", lasts=120))


async def test_a_key_that_the_issuer_took_back_opens_nothing_and_the_new_one_does(
    house: House, issuer: RunningIssuer
) -> None:
    old = issuer.signed("vera")
    assert (await said_to(house, old)).status_code == 200
    await issuer.rotate("second")
    assert (await said_to(house, issuer.signed("vera"))).status_code == 200  # asked for as soon as a token names it
    assert "no key of the issuer" in await refused(house, old)


async def test_keys_are_kept_while_the_issuer_is_away(issuer: RunningIssuer, house: House) -> None:
    """Another replica, whose issuer answers nobody: its port is somebody else's."""
    assert (await said_to(house, issuer.signed("walt"))).status_code == 200
    away = house.settings.oidc.model_copy(update={"issuer": "http://127.0.0.1:9"})
    async with serving(house.settings.model_copy(update={"oidc": away})) as url:
        await until_ready(url)
        answer = await (await house.client(issuer.signed("walt"), url)).get("/v1/me")
        assert answer.status_code == 503
        assert answer.json()["server"] == "issuer"
        own = await house.user("keyholder")
        mine = await house.client(own.headers["authorization"].removeprefix("Bearer "), url)
        assert (await mine.get("/v1/me")).status_code == 200


async def test_a_stream_ends_with_its_token(house: House, issuer: RunningIssuer) -> None:
    client = await house.client(issuer.signed("nora", lasts=3))
    async with answering(house.settings):
        asked = {"question": "words: count=2000 delay_ms=20", "model": "words"}
        path = f"/v1/conversations/{await conversation(client)}/turns"
        heard: list[str] = []

        async def listen() -> None:
            async with client.stream("POST", path, json=asked, headers={"accept": "text/event-stream"}) as stream:
                async for said in events(stream):
                    heard.append(said.kind)

        with pytest.raises(httpx.RemoteProtocolError):  # cut, which is no end
            await listen()
        assert "delta" in heard
        assert "ended" not in heard


def test_only_names_that_a_group_can_have_are_groups() -> None:
    assert groups_in(["staff", "/team", "/a/b", "Big", "", 3, None, "user:x", "staff"]) == ("staff", "team")
    assert groups_in("staff") == ("staff",)
    assert groups_in({"staff": True}) == ()
