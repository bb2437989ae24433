"""How models are: one real call, remembered for a few seconds."""

import asyncio
from pathlib import Path

from infra.models import read_models
from infra.providers.opened import open_providers
from infra.providers.status import REMEMBERED_SECONDS, ModelStatuses
from tests.servers import Servers


def calls(servers: Servers) -> int:
    """How many streams the model `words` has started for readiness: they have no turn."""
    return servers.words_log.read_text().count("started turn= ")


async def test_many_who_want_to_know_make_one_call_that_is_remembered(servers: Servers) -> None:
    now = [1000.0]
    models = read_models(servers.settings)
    async with open_providers(servers.settings, models) as providers:
        statuses, words = ModelStatuses(models, providers, lambda: now[0]), models.named("words")
        before = calls(servers)
        found = await asyncio.gather(*(statuses.of(words) for _ in range(20)))
        assert {each.reason for each in found} == {None}
        assert calls(servers) == before + 1
        now[0] += REMEMBERED_SECONDS + 1
        assert (await statuses.of(words)).checked_at == now[0]
        assert calls(servers) == before + 2


async def test_a_model_that_is_away_says_why(servers: Servers, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("default: a\nproviders: {t: {kind: triton}}\nmodels: {a: {provider: t, model: b, retrieval: off}}")
    settings = servers.settings.model_copy(update={"models_file": file})
    async with ModelStatuses.open(settings) as statuses:
        reason = (await statuses.of(statuses.models.named("a"))).reason
    assert reason is not None
    assert "unknown model: 'b'" in reason
