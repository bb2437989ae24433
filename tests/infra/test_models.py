"""models.yaml: what it gives, and what it says when it is wrong."""

import asyncio
from pathlib import Path

import pytest

from infra.models import read_models
from infra.providers.opened import open_providers
from infra.settings import Limits, Settings
from schemas.errors import Invalid
from schemas.turns import Parameters
from tests.infra.providers.fake_openai import DONE, HEAD, FakeOpenAI, piece

GOOD = """
default: a
providers:
  near: {kind: triton}
  far: {kind: openai, url: "https://far.example/v1/", key_from: FAR_KEY}
models:
  a: {provider: near, model: m, retrieval: {collections: [hr, it], passages: 3}, parameters: {max_tokens: 5}}
  b: {provider: far, model: big, retrieval: {}, about: Big.}
  c: {provider: near, model: m, retrieval: off, running: 256}
"""


def settings_with(folder: Path, text: str) -> Settings:
    file = folder / "models.yaml"
    file.write_text(text)
    return Settings(models_file=file)


def test_the_file_of_this_repository_is_right() -> None:
    models = read_models(Settings())
    assert models.default == "answerer"
    assert {name: alias.passages for name, alias in models.aliases.items()} == {"answerer": 8, "words": 0}


def test_an_alias_has_what_it_says_and_the_limits_for_the_rest(tmp_path: Path) -> None:
    models = read_models(settings_with(tmp_path, GOOD))
    a, b, c = (models.named(name) for name in "abc")
    assert (a.collections, a.passages, a.parameters) == (("hr", "it"), 3, Parameters(max_tokens=5))
    assert (b.collections, b.passages, b.about) == (None, Limits().passages, "Big.")
    assert c.passages == 0
    assert [each.running for each in (a, b, c)] == [Limits().running_answers, Limits().running_answers_remote, 256]
    assert models.servers["far"].url == "https://far.example/v1"


def test_a_model_that_nobody_named_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no model 'x'; there are a, b, c"):
        read_models(settings_with(tmp_path, GOOD)).named("x")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("default: a", "default: z", "models.yaml: default: no model 'z'; name one of a, b, c"),
        ("default: a\n", "", "models.yaml: default: is missing, add it"),
        ("provider: far", "provider: away", "models.b.provider: no provider 'away'; there are near, far"),
        ("model: big", "modle: big", "models.b.model: is missing, add it; models.b.modle: no such key, remove it"),
        ("  c:", "  c/d:", "models.c/d.[key]: String should match"),
        ("kind: triton", "kind: magic", "providers.near.kind: Input should be 'triton' or 'openai'"),
        (
            "max_tokens: 5",
            "max_tokens: 0",
            "models.a.parameters.max_tokens: Input should be greater than or equal to 1",
        ),
        ("retrieval: off", "retrieval: maybe", "models.c.retrieval"),
        (", key_from: FAR_KEY", ", key_from: sk-secret", "providers.far.key_from: String should match"),
        ('url: "https://far.example/v1/", ', "", "providers.far.url: is missing, add the address"),
        ("https://far", "https://me:pw@far", "providers.far.url: String should match"),
        ("{kind: triton}", "{kind: triton, key_from: K}", "providers.near.key_from: Triton takes no key"),
        ("default: a", "default: [a", "models.yaml is not YAML"),
        ("  c:", "  b:", "models.yaml: 'b' stands there twice (lines 8 and 9); rename one or remove it"),
        ("  far:", "  near:", "models.yaml: 'near' stands there twice (lines 4 and 5)"),
        ("default: a", "default: a\ndefault: b", "models.yaml: 'default' stands there twice (lines 2 and 3)"),
        ("far.example/", "far.example:abc/", "providers.far.url: https://far.example:abc/v1/ is no address"),
        ("far.example/", "far.example:99999/", "providers.far.url: https://far.example:99999/v1/ is no address"),
        ("far.example/", "far.example:0/", "providers.far.url: https://far.example:0/v1/ is no address"),
        ("far.example/", "[::1/", "providers.far.url: https://[::1/v1/ is no address (Invalid IPv6 URL)"),
        ("far.example/", "far..example/", "providers.far.url: https://far..example/v1/ is no address"),
        (
            "far.example/",
            ":80/",
            "providers.far.url: https://:80/v1/ is no address; write it as https://HOST:PORT/PATH",
        ),
        ("/v1/", "/v1?api-version=1", "providers.far.url: only scheme, host, port and path are sent; remove what"),
        (
            "{kind: triton}",
            '{kind: triton, url: "http://near:abc"}',
            "providers.near.url: http://near:abc is no address",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_cure(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in GOOD
    with pytest.raises(Invalid) as caught:
        read_models(settings_with(tmp_path, GOOD.replace(before, after)))
    assert said in str(caught.value)
    assert str(tmp_path / "models.yaml") in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, GOOD)
    settings.models_file.write_bytes(GOOD.replace("Big.", "Größe.").encode("latin-1"))
    with pytest.raises(Invalid, match=r"models.yaml is not UTF-8 \(byte \d+\): save it as UTF-8"):
        read_models(settings)


def test_a_missing_file_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"nowhere.yaml is missing: .* TURNLOG_MODELS_FILE"):
        read_models(Settings(models_file=tmp_path / "nowhere.yaml"))


async def test_a_key_that_is_not_set_is_named_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAR_KEY", raising=False)
    settings = settings_with(tmp_path, GOOD)
    with pytest.raises(
        Invalid, match=r"models.yaml: providers.far.key_from: the environment variable FAR_KEY is not set"
    ):
        async with open_providers(settings, read_models(settings)):
            pass


@pytest.mark.parametrize("key", ["sk-1\nx-evil: 1", "sk-ä", " \n"])
async def test_a_key_that_no_header_can_carry_is_refused_and_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("FAR_KEY", key)
    settings = settings_with(tmp_path, GOOD)
    with pytest.raises(Invalid, match=r"providers.far.key_from: the environment variable FAR_KEY") as caught:
        async with open_providers(settings, read_models(settings)):
            pass
    assert "sk-" not in str(caught.value)


async def test_a_key_may_end_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-1\n")
    fake = FakeOpenAI((HEAD, piece("x", "stop"), DONE))
    async with await asyncio.start_server(fake.serve, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = settings_with(tmp_path, GOOD.replace("https://far.example", address))
        async with open_providers(settings, read_models(settings)) as providers:
            await providers["far"].check("big", 30)
    assert "authorization: Bearer sk-1\r\naccept:" in fake.heads[0]


async def test_a_key_never_shows_in_what_can_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-very-secret")
    settings = settings_with(tmp_path, GOOD)
    models = read_models(settings)
    async with open_providers(settings, models) as providers:
        assert "sk-very-secret" not in repr((models, providers, vars(providers["far"])))
