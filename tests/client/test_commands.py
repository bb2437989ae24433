"""What people see of each command: results on stdout, the rest on stderr, and an exit code that says which."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.client.scripted import Reply, Request, Scripted
from tests.client.terminal import hear_interrupts
from tests.client.test_stream import sse
from tests.code import ROOT
from turnlog.commands.terminal import Patience, say, show_table, table
from turnlog.errors import Unreachable
from turnlog.main import app, main

PASSAGE = {
    "number": 1, "collection_id": "handbook", "document_id": "pump.pdf", "version": 4, "passage": 0,
    "title": "Pumps", "page": 3, "heading": [], "text": "It stops at 02:00.", "score": 0.9, "score_text": 7.1,
}  # fmt: skip
ANSWER = "At 02:00. [1] \x1b[31m[2]"
MODEL = {
    "id": "answerer",
    "default": True,
    "health": {"status": "away", "reason": "no answer in 2 s"},
    "about": "Extractive.",
}
DOCUMENT = {
    "collection_id": "notes",
    "document_id": "a.md",
    "state": "indexed",
    "version": 7,
    "passages": 2,
    "title": "A",
}


def answer(request: Request) -> Reply:
    """A server whose every answer is known."""
    match request.method, request.path.partition("?")[0]:
        case "POST", "/v1/conversations":
            return told(conversation_id="c1")
        case "POST", "/v1/conversations/c1/turns":
            return told(turn_id="t1", conversation_id="c1")
        case "GET", "/v1/turns/t1/events":
            return Reply(200, b"".join(events()), "text/event-stream")
        case "GET", "/ready":
            return told(ready=True, waits_for={})
        case "GET", "/v1/models":
            return told(data=[MODEL | {"health": {"status": "ok"}}, MODEL | {"id": "words", "default": False}])
        case "POST", "/v1/search":
            return told(passages=[PASSAGE] if b"pump" in request.body else [])
        case "PUT", "/v1/collections/notes/documents/a.md":
            return told(**DOCUMENT)
        case "PUT", "/v1/collections/notes/documents/0-refused.md":
            return Reply(413, b'{"type": "urn:turnlog:too-large", "detail": "its words are too many"}')
        case "PUT", "/v1/collections/notes/documents/bad.pdf":
            return told(**DOCUMENT | {"state": "failed", "code": "no-text", "reason": "The PDF holds no text."})
        case "GET", "/v1/collections/notes/documents":
            return told(documents=[DOCUMENT], next=None)
    return Reply(404, b'{"type": "urn:turnlog:not-found", "title": "Not Found", "detail": "there is no such thing"}')


def told(**body: object) -> Reply:
    return Reply(200, json.dumps(body).encode())


def events() -> Iterator[bytes]:
    yield sse("queued", {}, "0.0.0")
    yield sse("passages", {"passages": [PASSAGE]}, "7.2.0")
    yield sse("waiting", {"server": "triton"}, "7.3.0")
    yield sse("delta", {"text": ANSWER}, f"7.4.{len(ANSWER)}")
    yield sse("ended", {"status": "completed", "length": len(ANSWER)}, f"7.5.{len(ANSWER)}")


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with Scripted.serve(answer) as running:
        yield running


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Run(Protocol):
    """Runs a command against a server."""

    def __call__(self, server: Scripted, *arguments: str, stdin: str = "") -> Done: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process: starting it anew each time would take most of the test."""

    def run(server: Scripted, *arguments: str, stdin: str = "") -> Done:
        monkeypatch.setenv("TURNLOG_URL", server.url)
        monkeypatch.setenv("TURNLOG_KEY", "tl_key")
        monkeypatch.setattr(sys, "argv", ["turnlog", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


def test_it_starts_as_a_module(server: Scripted) -> None:
    environment = os.environ | {"TURNLOG_URL": server.url, "TURNLOG_KEY": "tl_key", "PYTHONPATH": str(ROOT / "client")}
    command = [sys.executable, "-m", "turnlog.main", "status"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=90)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_while_it_is_loaded_ends_it_without_a_traceback(tmp_path: Path) -> None:
    """The first package that it needs presses Ctrl-C."""
    (tmp_path / "httpx.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT / 'client'}"}
    command = [sys.executable, "-c", "import turnlog_command; turnlog_command.main()"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=90, preexec_fn=hear_interrupts
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_output_that_the_system_does_not_take_is_said_once() -> None:
    command = [sys.executable, "-m", "turnlog.main", "--version"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=90)
    assert (done.returncode, done.stderr.splitlines()) == (
        1, ["error: The system said no: [Errno 28] No space left on device", "       Make room."]
    )  # fmt: skip


def test_it_runs_where_the_standard_streams_are_closed(server: Scripted) -> None:
    environment = os.environ | {"TURNLOG_URL": server.url, "TURNLOG_KEY": "tl_key", "PYTHONPATH": str(ROOT / "client")}
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "turnlog.main", "ask", "when?"]
    assert subprocess.run(command, env=environment, timeout=90).returncode == 0


def test_ask_prints_the_answer_and_what_it_cites_and_keeps_the_rest_off_stdout(run: Run, server: Scripted) -> None:
    done = run(server, "ask", "--in", "handbook", "when", "does", "it", "stop?")
    assert done.returncode == 0
    assert done.stdout == "At 02:00. [1] [31m[2]\n  [1] Pumps, page 3 (handbook/pump.pdf)\n"
    assert done.stderr == "[waiting for triton]\n"
    asked = [request for request in server.asked if request.path.endswith("/turns")][-1]
    assert json.loads(asked.body) == {"question": "when does it stop?", "retrieval": {"collections": ["handbook"]}}


def test_ctrl_c_stops_the_answer_and_shows_the_rest_of_what_there_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server itself presses Ctrl-C, so that it comes in the middle of the stream, when its beginning is shown."""
    shown, stopped, said = (
        threading.Event(),
        threading.Event(),
        [sse("delta", {"text": "Half "}, "7.1.5"), sse("delta", {"text": "more"}, "7.2.9")],
    )
    end = sse("ended", {"status": "stopped", "length": 9}, "7.3.9")

    def noting(text: str, end: str = "") -> None:
        say(text, end)
        shown.set()

    def press() -> None:
        assert shown.wait(60)
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped.wait(60)

    def stopping(request: Request) -> Reply:
        if request.path == "/v1/turns/t1/stop":
            stopped.set()
            return Reply(202, b"{}")
        if request.path != "/v1/turns/t1/events":
            return answer(request)
        if stopped.is_set():
            assert request.headers["last-event-id"] == "7.1.5"
            return Reply(200, b"".join([*said[1:], end]), "text/event-stream")
        return Reply(200, said[0], "text/event-stream", cut=True, then=press)

    monkeypatch.setattr("turnlog.commands.answering.say", noting)
    with Scripted.serve(stopping) as server:
        done = run(server, "ask", "anything")
    assert (done.returncode, done.stdout) == (130, "Half more\n")
    assert "[stopped]" in done.stderr


def test_ask_reads_a_question_from_stdin_and_tells_programs_everything_at_once(run: Run, server: Scripted) -> None:
    done = run(server, "ask", "--json", "-", stdin="when?\n")
    found = json.loads(done.stdout)
    assert (found["status"], found["text"], found["turn_id"]) == ("completed", ANSWER, "t1")
    assert [passage["document_id"] for passage in found["cited"]] == ["pump.pdf"]


def test_a_line_for_a_chat_that_asks_nobody_is_a_question_also_when_it_begins_with_a_slash(run: Run) -> None:
    with Scripted.serve(answer) as server:
        done = run(server, "chat", "--json", stdin="/etc/hosts?\n/new\n")
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["completed"] * 2
    asked = [json.loads(request.body)["question"] for request in server.asked if request.path.endswith("/turns")]
    assert asked == ["/etc/hosts?", "/new"]


def test_search_shows_places_and_scores_or_says_that_nothing_was_found(run: Run, server: Scripted) -> None:
    done = run(server, "search", "pump")
    assert "Pumps, page 3" in done.stdout
    assert "7.10" in done.stdout
    empty = run(server, "search", "nothing")
    assert (empty.stdout, empty.returncode) == ("", 0)
    assert "Nothing found" in empty.stderr


def test_publish_takes_folders_and_says_what_became_of_each_document(
    run: Run, server: Scripted, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("# A")
    (tmp_path / "ignored.bin").write_bytes(b"\0")
    done = run(server, "publish", "--to", "notes", str(tmp_path))
    assert done.returncode == 0
    assert done.stdout.startswith("notes/a.md  indexed  version 7  2 passages")
    assert server.asked[-1].headers["content-type"] == "text/markdown"


def test_a_document_that_failed_is_told_with_its_reason_and_exit_code_1(
    run: Run, server: Scripted, tmp_path: Path
) -> None:
    (tmp_path / "bad.pdf").write_bytes(b"%PDF")
    done = run(server, "publish", "--to", "notes", str(tmp_path / "bad.pdf"))
    assert done.returncode == 1
    assert "The PDF holds no text." in done.stdout


def test_one_file_that_cannot_be_published_does_not_keep_the_others_out(
    run: Run, server: Scripted, tmp_path: Path
) -> None:
    (tmp_path / "0-refused.md").write_text("# Refused")
    (tmp_path / "0-gone.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "a.md").write_text("# A")
    done = run(server, "publish", "--to", "notes", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith("notes/a.md  indexed")
    assert "error: 0-refused.md: its words are too many" in done.stderr
    assert "error: 0-gone.md: " in done.stderr
    assert "folder.md" not in done.stderr
    told = run(server, "publish", "--json", "--to", "notes", str(tmp_path))
    assert (told.returncode, [document["document_id"] for document in json.loads(told.stdout)]) == (1, ["a.md"])


def test_two_files_of_one_name_are_refused_before_one_replaces_the_other(
    run: Run, server: Scripted, tmp_path: Path
) -> None:
    pages = [tmp_path / folder / "a.md" for folder in ("one", "two")]
    for page in pages:
        page.parent.mkdir()
        page.write_text("# A")
    asked = len(server.asked)
    done = run(server, "publish", "--to", "notes", *map(str, pages))
    assert (done.returncode, len(server.asked)) == (2, asked)
    said = "".join(done.stderr.replace("│", "").split())
    assert all(str(page) in said for page in pages)


def test_publishing_without_the_right_ends_at_once_as_not_allowed(run: Run, tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).write_text("# A")
    with Scripted.serve(lambda request: Reply(403, b"{}")) as forbidding:
        assert run(forbidding, "publish", "--to", "notes", str(tmp_path)).returncode == 4
    assert len(forbidding.asked) == 1


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["ask", b"\xff"], b""),
        (["ask", "-"], b"\xff"),
        (["search", b"\xff"], b""),
        (["documents", "show", "notes", b"\xff"], b""),
        (["publish", "--to", "notes", b"\xff.md"], b""),
        (["publish", "--to", "notes", "."], b""),
        (["publish", "--to", "notes", "folder.md"], b""),
        (["--url", "http://foo:abc", "status"], b""),
        (["status", "--url", "http://foo:abc"], b""),
        (["status", "--key", "tl_ключ"], b""),
        (["documents", "delete", "notes", ".."], b""),
    ],
)
def test_what_cannot_work_is_said_with_a_cure_and_without_a_traceback(
    server: Scripted, tmp_path: Path, arguments: list[str | bytes], stdin: bytes
) -> None:
    (tmp_path / "folder.md").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")).write_text("# A")
    environment = os.environ | {"TURNLOG_URL": server.url, "TURNLOG_KEY": "tl_key", "PYTHONPATH": str(ROOT / "client")}
    command = [sys.executable, "-m", "turnlog.main", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment, cwd=tmp_path, timeout=90)
    assert done.returncode in (1, 2, 4)
    assert "Traceback" not in done.stderr.decode()
    assert done.stderr.lower().count(b"error") == 1


def test_publishing_to_no_collection_says_how_to_make_one(run: Run, server: Scripted, tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# B")
    done = run(server, "publish", "--to", "nowhere", str(tmp_path / "b.md"))
    assert done.returncode == 1
    assert "error: b.md: there is no such thing" in done.stderr
    assert "--create" in done.stderr


def test_documents_are_listed_for_people_and_for_programs(run: Run, server: Scripted) -> None:
    assert "a.md" in run(server, "documents", "list", "notes").stdout
    assert json.loads(run(server, "documents", "list", "notes", "--json").stdout)[0]["live_version"] is None


def test_a_list_has_every_id_whole_in_a_pipe_and_on_a_narrow_terminal(run: Run) -> None:
    long = f"{'x' * 90}-{'y' * 90}"
    listed = told(documents=[DOCUMENT | {"document_id": long, "title": "z" * 90}], next=None)
    with Scripted.serve(lambda request: listed) as server:
        _, line = run(server, "documents", "list", "notes").stdout.splitlines()
    assert line.split() == [long, "indexed", "7", "2", "z" * 90]
    narrow = io.StringIO()
    show_table(table("document", "title", rows=[(long, "z" * 90)]), Console(file=narrow, force_terminal=True, width=60))
    assert [narrow.getvalue().count(letter) for letter in "xyz"] == [90, 90, 90]


def test_status_names_the_models_and_their_health(run: Run, server: Scripted) -> None:
    done = run(server, "status")
    assert (
        done.stdout
        == f"{server.url} is ready\n  model answerer (default): answers\n  model words: away: no answer in 2 s\n"
    )


def test_status_of_a_server_that_waits_says_for_what_and_exits_with_1(run: Run) -> None:
    waiting = Reply(503, b'{"ready": false, "waits_for": {"kafka": "connecting"}}')
    with Scripted.serve(lambda request: waiting) as server:
        done = run(server, "status")
    assert done.returncode == 1
    assert "waits for kafka: connecting" in done.stdout


@pytest.mark.parametrize(("reply", "code"), [(Reply(401, b"{}"), 4), (Reply(403, b"{}"), 4), (Reply(404, b"{}"), 1)])
def test_exit_codes_say_whether_it_failed_or_was_not_allowed(run: Run, reply: Reply, code: int) -> None:
    with Scripted.serve(lambda request: reply) as server:
        done = run(server, "documents", "show", "notes", "a.md")
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_used_wrongly_is_exit_code_2(run: Run, server: Scripted) -> None:
    assert run(server, "publish", "x.md").returncode == 2
    assert run(server, "publish", "--to", "notes", "-").returncode == 2


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in ("status", "ask", "chat", "publish", "upload", "search")),
        *(["documents", name] for name in ("list", "show", "delete")),
        *(["collections", name] for name in ("list", "create", "readers", "delete")),
        *(["keys", name] for name in ("list", "create", "revoke")),
    ],
)
def test_the_help_of_every_command_teaches_with_an_example(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"turnlog {' '.join(command)}" in shown.output
    assert "Example" in shown.output
    assert [option for option in ("--url", "--key", "--json") if option not in shown.output] == []


def test_tab_offers_commands_and_names_of_the_server_and_no_error_when_it_is_away(tmp_path: Path) -> None:
    """The completion is installed and asked for as bash does it."""
    found = [{"collection_id": name, "name": name, "owner": "ada"} for name in ("handbook", "hall", "notes")]
    home = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TURNLOG_KEY": "k"}
    tab = (
        "source ~/.bash_completions/turnlog.sh; COMP_WORDS=({}); COMP_CWORD={}; "
        '_turnlog_completion turnlog; echo "${{COMPREPLY[@]}}"'
    )
    asked = [("turnlog coll", 1), ("turnlog search --in ha", 3), ("turnlog collections readers no", 3)]
    script = "; ".join(["turnlog --install-completion >&2", *(tab.format(*words) for words in asked)])
    with Scripted.serve(lambda request: Reply(200, json.dumps(found).encode())) as server:
        there = subprocess.run(
            ["bash", "-c", f"{script}; true"], env=home | {"TURNLOG_URL": server.url}, capture_output=True
        )
    away = subprocess.run(
        ["bash", "-c", tab.format(*asked[1])], env=home | {"TURNLOG_URL": "http://127.0.0.1:9"}, capture_output=True
    )
    assert there.stdout.decode().splitlines() == ["collections", "handbook hall", "notes"]
    assert (away.stdout, away.stderr) == (b"\n", b"")


def test_many_files_are_published_side_by_side_and_waited_for_at_the_end(run: Run, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text("# A")

    def queueing(request: Request) -> Reply:
        document = {"collection_id": "notes", "document_id": request.path.rpartition("/")[2].partition("?")[0]}
        return told(**document, state="queued" if request.method == "PUT" else "indexed")

    with Scripted.serve(queueing) as server:
        done = run(server, "publish", "--to", "notes", str(tmp_path))
    assert [request.method for request in server.asked] == ["PUT"] * 3 + ["GET"] * 3
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [[f"notes/{n}.md", "indexed"] for n in range(3)]


def test_what_was_accepted_is_told_even_when_the_rest_could_not_be_sent(run: Run, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text("# A")
    replies = iter([told(collection_id="notes", document_id="0.md", state="queued")])
    with Scripted.serve(lambda request: next(replies, Reply(401, b"{}"))) as server:
        done = run(server, "publish", "--to", "notes", str(tmp_path))
    assert done.returncode == 4
    assert done.stdout.startswith("notes/0.md  queued")
    assert "error: 1.md" in done.stderr


def test_a_collection_is_not_deleted_when_nobody_said_that_it_is_meant(run: Run, server: Scripted) -> None:
    asked = len(server.asked)
    done = run(server, "collections", "delete", "notes")
    assert (done.returncode, len(server.asked)) == (2, asked)
    assert "--yes" in done.stderr


@pytest.mark.parametrize("days", ["1e9", "nan", "0", "-1"])
def test_a_key_for_no_time_that_can_be_is_refused_with_the_bounds(run: Run, server: Scripted, days: str) -> None:
    done = run(server, "keys", "create", "laptop", "--scope", "chat", "--days", days)
    assert done.returncode == 2
    assert "--days is 0.001 to 36500" in done.stderr


def test_whoever_waits_for_a_silent_server_is_told_once_and_for_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    patience, failure = Patience(), Unreachable("http://far.example does not answer: refused")
    for tried in (0.1, 0.9, 2.5, 7.0):
        patience(failure, tried, 60 - tried)
    said = "http://far.example does not answer: refused; tried again for 58 s more, Ctrl-C ends it\n"
    assert capsys.readouterr() == ("", said)
    for tried in (0.1, 5.0):  # another silence
        patience(failure, tried, 60 - tried)
    assert "55 s more" in capsys.readouterr().err


def test_the_version_needs_no_command(run: Run, server: Scripted) -> None:
    done = run(server, "--version")
    assert (done.returncode, done.stdout) == (0, f"{version('turnlog')}\n")
