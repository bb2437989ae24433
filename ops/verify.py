"""What `turnlog verify` does: reads the topics, and prints what was checked and what failed."""

from dataclasses import asdict

from rich.table import Table

from audit.verify.checks import Report
from audit.verify.verify import Verify
from infra.kafka.log import Log
from infra.registry.client import RegistryClient
from infra.settings import Settings
from ops.at_servers import done, settings_here
from schemas.codec import Codec
from turnlog.commands.terminal import notes, printable, say, say_json, show_table


def verified(*, json: bool) -> bool:
    """Whether everything held; raises TurnlogError when the log cannot be read."""
    report = done(_report(settings_here()))
    if json:
        say_json({**asdict(report), "failed": report.failed})
    else:
        _show(report)
    return not report.failed and not any(check.skipped for check in report.checks)


async def _report(settings: Settings) -> Report:
    registry = RegistryClient(settings)
    try:
        return await Verify(Log(settings), Codec(registry), registry, _progress).run()
    finally:
        await registry.close()


def _show(report: Report) -> None:
    table = Table("checked", "failed", "what", box=None, padding=(0, 2, 0, 0))
    for check in report.checks:
        said = check.name + (f" (not checked: {check.skipped})" if check.skipped else "")
        table.add_row(f"{check.checked:,}", f"{check.failed:,}" if check.failed else "-", said)
    show_table(table)
    for check in report.checks:
        if check.failures:
            say(f"\n{check.name}: failed {check.failed:,} times", end="\n")
        for failure in check.failures:
            say(f"  {failure.place}\n    {printable(failure.says)}", end="\n")
        if check.failed > len(check.failures):
            say(f"  ... and {check.failed - len(check.failures):,} more", end="\n")
    for note in report.notes:
        notes.print(note)
    verdict = "everything held" if not report.failed else f"{report.failed:,} failures"
    notes.print(f"{report.records:,} records in {report.seconds:.1f} s: {verdict}.")


def _progress(topic: str, records: int) -> None:
    notes.print(f"reading {topic}: {records:,} records")
