"""An installation without inboxes: the worker has nothing to do, and nothing is wrong with it."""

from pathlib import Path

from infra.settings import Settings
from tests.faults.turns.processes import Processes, until
from tests.workers import start, working


async def test_without_inboxes_the_worker_is_ready_and_stops_in_order(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "inboxes.yaml"
    file.write_text("inboxes: []")
    none = settings.model_copy(update={"inboxes_file": file})
    async with working(none, tmp_path, "inboxes") as processes:
        assert await processes.end("inboxes") == [0]


async def test_a_wrong_file_is_told_and_ends_with_the_code_that_nobody_starts_again(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "inboxes.yaml"
    file.write_text("inboxes:\n- {name: a, owner: ann}\n- {name: a, owner: bob}")
    processes = Processes(settings.model_copy(update={"inboxes_file": file}), tmp_path)
    start(processes, "inboxes")
    await until(lambda: processes.is_gone("inboxes"), 60, "it goes on")
    assert processes.running["inboxes"].returncode == 78
    assert "more than once" in processes.output("inboxes")
    processes.close()
