"""What `turnlog views` does: says how far the views are, and makes them anew."""

import time
from dataclasses import asdict

from rich.table import Table

from infra.settings import Settings
from ops.at_servers import done, settings_here
from streams.views.lag import ViewsStatus, views_status
from streams.views.rebuild.compare import Difference
from streams.views.rebuild.rebuild import Report, rebuild
from turnlog.commands.terminal import notes, printable, say, say_json, show_table
from turnlog.errors import TurnlogError

NOBODY = "No worker folds, so the views stay as they are: `python -m streams.views` does; its log says why it ended."
SAID_EVERY_SECONDS = 2.0


def show_status(*, json: bool) -> bool:
    """Prints the lag of each partition; whether somebody folds."""
    status = done(views_status(settings_here()))
    if json:
        say_json(asdict(status))
    else:
        _show_lag(status)
    return status.folding


def made_anew(*, check: bool, accept: bool, json: bool) -> bool:
    """Makes the views anew; whether all is well: nothing differs, or it was accepted and switched."""
    settings = with_owner(settings_here())
    report = done(rebuild(settings, check=check, accept=accept, heard=Progress().heard))
    if json:
        say_json(asdict(report))
    else:
        _show(report, check=check)
    return report.switched or not report.differences


class Progress:
    """Says now and then how far it is, and how long it may take."""

    def __init__(self) -> None:
        self._began, self._said = time.monotonic(), 0.0

    def heard(self, what: str, folded: int, total: int) -> None:
        """On stderr."""
        now = time.monotonic()
        if what == "compare":
            notes.print("comparing with the live views ...")
        elif what == "switch":
            notes.print("switching ...")
        elif now - self._said > SAID_EVERY_SECONDS:
            self._said = now
            pace = folded / (now - self._began)
            left = (total - folded) / pace if pace else 0.0
            notes.print(f"folded {folded:,} of {total:,} records, {pace:,.0f} a second, about {left:,.0f} s left")


def with_owner(settings: Settings) -> Settings:
    """The settings, when they hold the owner's password; raises TurnlogError."""
    if not settings.postgres_password_owner.get_secret_value():
        raise TurnlogError(
            "Only the owner of the tables can make them anew, and its password is not known here.",
            "Set TURNLOG_POSTGRES_PASSWORD_OWNER: beside a local run it is in .turnlog/env.",
        )
    return settings


def _show_lag(status: ViewsStatus) -> None:
    table = Table("topic/partition", "folded", "end", "lag", box=None, padding=(0, 2, 0, 0))
    for each in status.partitions:
        table.add_row(f"{each.topic}/{each.partition}", f"{each.folded:,}", f"{each.end:,}", f"{each.lag:,}")
    table.add_row("all", "", "", f"{status.lag:,}")
    show_table(table)
    if not status.folding:
        notes.print(NOBODY)


def _show(report: Report, *, check: bool) -> None:
    table = Table("table", "rows", "differences", box=None, padding=(0, 2, 0, 0))
    differing = {each.table: each for each in report.differences}
    for name, rows in report.tables.items():
        table.add_row(name, f"{rows:,}", _counts(differing[name]) if name in differing else "-")
    show_table(table)
    for each in report.differences:
        say(f"\n{each.table}: {_counts(each)}", end="\n")
        for sample in each.samples:
            say(f"  {printable(sample.key)}: {sample.says}", end="\n")
    notes.print(f"{report.records:,} records folded anew, {report.skipped:,} of them dead letters.")
    notes.print(_verdict(report, check=check))


def _counts(found: Difference) -> str:
    return f"{found.only_live:,} only live, {found.only_anew:,} only anew, {found.other:,} other"


def _verdict(report: Report, *, check: bool) -> str:
    if report.switched:
        return "Switched: everybody reads the views made anew."
    if not report.differences:
        return "The live views are what the log says."
    if check:
        return "The live views are not what the log says; nothing was changed."
    return (
        "The live views are not what the log says, so nothing was changed. What was made anew is right by the log: "
        "--accept-differences puts it in place."
    )
