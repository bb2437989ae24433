"""Where the API meets browsers and networks: names it answers to, other sites' pages, TLS."""

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from api.app import create_app
from api.edge import tls_of
from infra.settings import Settings
from schemas.errors import Invalid
from tests.environment import environment

SITE = "https://chat.example.org"


def asking(settings: Settings, **more: str) -> httpx.AsyncClient:
    """A client of an API that is not open yet: it says 503 to whomever it lets in."""
    app = create_app(settings.model_copy(update=more))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.example.org")


@pytest.mark.parametrize("host", ["api.example.org", "API.example.org:8080", "127.0.0.1"])
async def test_a_known_name_is_let_in(settings: Settings, host: str) -> None:
    async with asking(settings, api_hosts="api.example.org, 127.0.0.1") as client:
        assert (await client.get("/v1/me", headers={"host": host})).status_code == 503


@pytest.mark.parametrize("host", ["evil.example.org", "api.example.org.evil.net", "", "api.example.org:x"])
async def test_any_other_name_is_refused_and_probes_are_not(settings: Settings, host: str) -> None:
    async with asking(settings, api_hosts="api.example.org") as client:
        refused = await client.get("/v1/me", headers={"host": host})
        assert (refused.status_code, refused.json()["type"]) == (421, "urn:turnlog:misdirected")
        assert (await client.get("/live", headers={"host": host})).status_code == 200


async def test_without_a_list_any_name_will_do(settings: Settings) -> None:
    async with asking(settings) as client:
        assert (await client.get("/v1/me", headers={"host": "whatever"})).status_code == 503


async def test_pages_of_a_site_that_is_named_may_call_and_read_what_they_need(settings: Settings) -> None:
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    async with asking(settings, api_cors_origins=SITE) as client:
        may = await client.options("/v1/conversations", headers={"origin": SITE, **wanted})
        assert (may.status_code, may.headers["access-control-allow-origin"]) == (200, SITE)
        assert "POST" in may.headers["access-control-allow-methods"]
        answer = await client.get("/v1/me", headers={"origin": SITE})
        assert answer.headers["access-control-allow-origin"] == SITE
        assert "x-turnlog-turn" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers

        other = await client.options("/v1/conversations", headers={"origin": "https://evil.example.org", **wanted})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers


async def test_openais_client_may_ask_from_such_a_page_and_read_what_is_left_of_its_rate(settings: Settings) -> None:
    said = ("os", "arch", "lang", "package-version", "runtime", "runtime-version", "retry-count", "timeout", "async")
    names = ["authorization", "content-type", "user-agent", "openai-organization", "openai-project"]
    names += [f"x-stainless-{name}" for name in (*said, "helper-method", "poll-helper", "custom-poll-interval")]
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": ",".join(sorted(names))}
    async with asking(settings, api_cors_origins=SITE) as client:
        may = await client.options("/v1/chat/completions", headers={"origin": SITE, **wanted})
        assert may.status_code == 200, may.text
        told = (await client.get("/v1/me", headers={"origin": SITE})).headers["access-control-expose-headers"]
        assert {"retry-after", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"} <= set(told.split(", "))


async def test_without_a_list_no_page_of_another_site_may(settings: Settings) -> None:
    async with asking(settings) as client:
        assert "access-control-allow-origin" not in (await client.get("/v1/me", headers={"origin": SITE})).headers


async def run(settings: Settings, **more: str) -> asyncio.subprocess.Process:
    named = {f"TURNLOG_{name.upper()}": value for name, value in more.items()}
    out = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "api")
    return await asyncio.create_subprocess_exec(*command, env=environment(settings, **named), stdout=out, stderr=out)


async def test_it_speaks_tls_with_the_certificate_it_was_given(settings: Settings, tmp_path: Path) -> None:
    authority = trustme.CA()
    made, trusting = authority.issue_cert("127.0.0.1"), ssl.create_default_context()
    authority.configure_trust(trusting)
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "chain.pem"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    files = {"api_tls_certificate": str(tmp_path / "chain.pem"), "api_tls_key": str(tmp_path / "key.pem")}
    process = await run(settings, api_port=port, **files)
    try:
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=trusting) as client:
            async with asyncio.timeout(60):
                while True:
                    try:
                        assert (await client.get("/live")).status_code == 200
                        break
                    except httpx.ConnectError:
                        await asyncio.sleep(0.1)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/live")
    finally:
        process.terminate()
        await process.communicate()


KeyFile = Callable[[trustme.LeafCert], bytes]


def encrypted(made: trustme.LeafCert) -> bytes:
    key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
    how = serialization.BestAvailableEncryption(b"a password")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (lambda made: made.private_key_pem.bytes(), None),
        (
            lambda _: trustme.CA().issue_cert("127.0.0.1").private_key_pem.bytes(),
            "no certificate with its key.*mismatch",
        ),
        (lambda _: b"not PEM", "no certificate with its key"),
        (encrypted, "the key is encrypted"),
    ],
)
def test_tls_files_that_do_not_fit_are_refused_at_once(tmp_path: Path, key: KeyFile, why: str | None) -> None:
    made, files = trustme.CA().issue_cert("127.0.0.1"), (tmp_path / "chain.pem", tmp_path / "key.pem")
    made.cert_chain_pems[0].write_to_path(str(files[0]))
    files[1].write_bytes(key(made))
    settings = Settings(api_tls_certificate=files[0], api_tls_key=files[1])
    if why is None:
        assert tls_of(settings) == files
    else:
        with pytest.raises(Invalid, match=why):
            tls_of(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [("oidc__algorithm", "none"), ("oidc__issuer", "http://example.org"), ("api_port", "eighty"), ("limits", "many")],
)
async def test_settings_that_cannot_be_meant_are_refused_by_name_and_not_told(
    settings: Settings, name: str, value: str
) -> None:
    process = await run(settings, **{name: value})
    said = b"".join(await process.communicate()).decode()
    assert process.returncode == 78, said
    assert ("limits" if name == "limits" else f"TURNLOG_{name.upper()}") in said
    assert value not in said
    assert "Traceback" not in said


async def test_half_of_tls_is_refused_with_the_setting_that_is_missing(settings: Settings, tmp_path: Path) -> None:
    process = await run(settings, api_tls_certificate=str(tmp_path / "chain.pem"))
    said = b"".join(await process.communicate())
    assert process.returncode == 78
    assert b"TURNLOG_API_TLS_KEY" in said
