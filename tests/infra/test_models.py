"""models.yaml: what it gives, and what it says when it is wrong."""

from pathlib import Path

import pytest

from infra.models import read_models
from infra.providers.opened import open_providers
from infra.settings import Limits, Settings
from schemas.errors import Invalid
from schemas.turns import Parameters

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
    ],
)
def test_what_is_wrong_is_named_with_its_cure(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in GOOD
    with pytest.raises(Invalid) as caught:
        read_models(settings_with(tmp_path, GOOD.replace(before, after)))
    assert said in str(caught.value)
    assert str(tmp_path / "models.yaml") in str(caught.value)


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


async def test_a_key_never_shows_in_what_can_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-very-secret")
    settings = settings_with(tmp_path, GOOD)
    models = read_models(settings)
    async with open_providers(settings, models) as providers:
        assert "sk-very-secret" not in repr((models, providers, vars(providers["far"])))
