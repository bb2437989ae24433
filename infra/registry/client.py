"""Schema ids by subject and schemas by id, kept on disk so that the registry may be away."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import httpx

from infra.settings import Settings
from infra.waiting import until_available
from schemas.errors import Unavailable
from schemas.event import NAMESPACE
from schemas.versions import Json, canonical, latest
from topics.catalogue import Topic

NOT_THERE = {40401, 40403}  # subject, schema
HEAD = {"content-type": "application/vnd.schemaregistry.v1+json"}


def subject_of(topic: str, name: str) -> str:
    """TopicRecordNameStrategy, with the topic's name on the broker."""
    return f"{topic}-{NAMESPACE}.{name}"


def registry_folder(settings: Settings) -> Path:
    """Where ids and fetched schemas are kept."""
    return settings.folder(f"registry/{settings.namespace or 'default'}")


def kept_id(folder: Path, subject: str, sha256: str) -> Path:
    """The file that holds the id of one schema under one subject."""
    return folder / f"id-{subject}-{sha256[:16]}"


class RegistryClient:
    """The Confluent API, as far as a codec needs it; implements `schemas.codec.Registry`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(base_url=settings.registry_url, timeout=10, trust_env=False)
        self._folder = registry_folder(settings)
        self._ids: dict[str, int] = {}

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def load(self, topics: tuple[Topic, ...]) -> None:
        """Learns the id of each event's latest schema: from disk, else from the registry, waiting until it knows."""
        for topic in topics:
            for event in topic.events:
                subject = subject_of(self._settings.kafka_name(topic), event.__name__)
                key = f"{topic.name}/{event.__name__}"
                self._ids[key] = await self._known(subject, event.__name__)

    def id_of(self, topic: str, name: str) -> int:
        """See schemas.codec.Registry."""
        return self._ids[f"{topic}/{name}"]

    async def schema_of(self, schema_id: int) -> Json | None:
        """See schemas.codec.Registry."""
        kept = self._folder / f"schema-{schema_id}.json"
        if kept.exists():
            return json.loads(kept.read_text())
        found = await self._get(f"/schemas/ids/{schema_id}")
        if found is None:
            return None
        schema = json.loads(found["schema"]) if found.get("schemaType", "AVRO") == "AVRO" else found["schemaType"]
        write(kept, json.dumps(schema))
        return schema

    async def _known(self, subject: str, name: str) -> int:
        version = latest(name)
        kept = kept_id(self._folder, subject, version.sha256)
        if kept.exists():
            return int(kept.read_text())
        found = await until_available("registry", lambda: self._look_up(subject, version.schema))
        write(kept, str(found))
        return found

    @staticmethod
    def remember(settings: Settings, topic: Topic, name: str, schema_id: int) -> None:
        """Keeps an id on disk: provisioning does, so that a registry made anew is believed over an older note."""
        folder = registry_folder(settings)
        kept = kept_id(folder, subject_of(settings.kafka_name(topic), name), latest(name).sha256)
        if kept.exists() and kept.read_text() != str(schema_id):  # made anew: its ids mean other schemas now
            for fetched in folder.glob("schema-*.json"):
                fetched.unlink(missing_ok=True)
        write(kept, str(schema_id))

    async def _look_up(self, subject: str, schema: Json) -> int:
        answer = await self._ask("POST", f"/subjects/{subject}", {"schema": canonical(schema).decode()})
        if answer is None:
            raise Unavailable(
                "registry", f"{subject} is not provisioned yet; `make run` does it, or python -m ops.provision"
            )
        return int(answer["id"])

    async def _get(self, path: str) -> Any:
        return await self._ask("GET", path, None)

    async def _ask(self, method: str, path: str, body: Json | None) -> Any:
        try:
            answer = await self._http.request(method, path, json=body, headers=HEAD)
            said = answer.json()
        except (httpx.HTTPError, ValueError) as exc:  # ValueError: a proxy's words, not the registry's
            raise Unavailable("registry", str(exc) or type(exc).__name__) from exc
        if answer.status_code == 404 and isinstance(said, dict) and said.get("error_code") in NOT_THERE:
            return None
        if answer.status_code != 200:
            raise Unavailable("registry", f"{method} {path} answered {answer.status_code}")
        return said


def write(path: Path, text: str) -> None:
    """Writes a file by rename, so that a reader beside us sees all of it or nothing."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    Path(name).replace(path)
