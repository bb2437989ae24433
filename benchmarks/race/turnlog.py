"""Our side of the race: an installation whose model `race` is the mock upstream, asked through OpenAI's route."""

from pathlib import Path

import yaml

from benchmarks.http import Connection, Stream
from benchmarks.race.subject import Subject
from benchmarks.target import PATH_OF_A_TURN, Target
from ops.installation import ROOT


def models_file(upstream_url: str, folder: Path) -> Path:
    """models.yaml with one provider and one alias more."""
    said = yaml.safe_load((ROOT / "models.yaml").read_text())
    said["providers"]["race"] = {"kind": "openai", "url": f"{upstream_url}/v1"}
    about = "Numbered tokens on a fixed schedule."
    said["models"]["race"] = {
        "provider": "race", "model": "race", "about": about, "retrieval": False, "running": 256,
    }  # fmt: skip
    file = folder / "models.yaml"
    file.write_text(yaml.safe_dump(said))
    return file


def turnlog(target: Target) -> Subject:
    """Everything that a turn goes through counts: our processes, the broker and the database."""

    async def recover(completion: str) -> str:
        """The turn's events from the first on."""
        stream = Stream()
        connection = await Connection.open(target.api_url)
        path = f"/v1/turns/{completion.removeprefix('chatcmpl-')}/events"
        await connection.request("GET", path, target.headers, b"", stream.sse("text"))
        connection.close()
        return "".join(stream.texts)

    pids = {name: target.pids[name] for name in PATH_OF_A_TURN}
    detach = {"x-turnlog-detach": "true"}
    return Subject("turnlog", target.api_url, "/v1/chat/completions", target.headers, pids, recover, detach)
