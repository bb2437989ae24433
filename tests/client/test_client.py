"""What is tried again, how often it counts, and how a client finds its server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.scripted import Reply, Request, Scripted
from turnlog import Problem, Turnlog, Unreachable
from turnlog.connection import Connection
from turnlog.errors import NoKey, NotTurnlog, TurnlogError
from turnlog.model import Turn
from turnlog.seen import Seen

PENDING = Reply(202, b'{"type": "urn:turnlog:pending"}', "application/problem+json", {"retry-after": "0"})


def body(**told: object) -> bytes:
    return json.dumps(told).encode()


def test_a_write_that_met_trouble_is_tried_again_with_the_same_idempotency_key() -> None:
    replies = iter([Reply(503), Reply(200, b"", cut=True), Reply(201, body(conversation_id="c1"))])
    with Scripted.serve(lambda request: next(replies)) as server, Turnlog.open(server.url, "k") as client:
        assert client.start_conversation() == "c1"
    keys = [request.headers["idempotency-key"] for request in server.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_who_wants_to_know_is_told_before_each_other_try() -> None:
    told: list[tuple[int, bool]] = []

    def noting(failure: TurnlogError, tried_seconds: float, left_seconds: float) -> None:
        assert isinstance(failure, Problem)
        told.append((failure.status, tried_seconds + left_seconds == pytest.approx(60)))

    replies = iter([Reply(503), Reply(502), Reply(201, body(conversation_id="c1")), Reply(503)])
    ended = b'event: ended\ndata: {"status": "completed", "length": 0}\n\n'
    with Scripted.serve(lambda request: next(replies, Reply(200, ended, "text/event-stream"))) as server:
        with Turnlog.open(server.url, "k", retrying=noting) as client:
            client.start_conversation()
            assert told == [(503, True), (502, True)]
            client.answer("t1")
    assert told[2:] == [(503, True)]


def test_two_writes_have_two_idempotency_keys() -> None:
    reply = Reply(201, body(conversation_id="c1"))
    with Scripted.serve(lambda request: reply) as server, Turnlog.open(server.url, "k") as client:
        client.start_conversation()
        client.start_conversation()
    assert len({request.headers["idempotency-key"] for request in server.asked}) == 2


def test_what_was_written_is_seen_by_the_reads_after_it() -> None:
    replies = iter([Reply(201, body(conversation_id="c1"), headers={"x-turnlog-position": "turns/3:7"}), PENDING])
    told = Reply(200, body(turn_id="t1", conversation_id="c1"))
    with Scripted.serve(lambda request: next(replies, told)) as server, Turnlog.open(server.url, "k") as client:
        client.start_conversation()
        assert client.turn("t1") == Turn(turn_id="t1", conversation_id="c1")
    assert [request.headers.get("x-turnlog-after") for request in server.asked] == [None, "turns/3:7", "turns/3:7"]


def test_of_writes_side_by_side_none_hides_another() -> None:
    seen = Seen()
    for told in ("turns/3:7", "documents/0:5,turns/3:6", "", "turns/4:1"):
        seen.take(told)
    assert str(seen) == "documents/0:5,turns/3:7,turns/4:1"
    for partition in range(40):
        seen.take(f"documents/{partition}:9")
    assert str(seen).split(",") == [f"documents/{partition}:9" for partition in range(24, 40)]


def test_an_upload_that_is_tried_again_is_sent_whole() -> None:
    content = b"x" * 200_000
    document = {"collection_id": "c", "document_id": "a/b ü.md", "state": "indexed"}
    replies = iter([Reply(503), Reply(200, body(**document))])
    told: list[int] = []
    with Scripted.serve(lambda request: next(replies)) as server, Turnlog.open(server.url, "k") as client:
        client.publish("c", "a/b ü.md", content, media_type="text/markdown", wait=True, sent=told.append)
    assert [request.body == content for request in server.asked] == [True, True]
    assert server.asked[0].path == "/v1/collections/c/documents/a%2Fb%20%C3%BC.md?wait=searchable"
    assert server.asked[0].headers["content-type"] == "text/markdown"
    assert told == 2 * [65536, 131072, 196608, 200000]


def test_a_large_document_goes_ahead_as_an_object_and_its_indexing_is_waited_for() -> None:
    document = {"collection_id": "c", "document_id": "big.pdf", "state": "queued", "waiting_for": "opensearch"}

    def answer(request: Request) -> Reply:
        if request.path == "/v1/objects":
            return Reply(201, body(sha256="ab" * 32, size=5_000_000))
        return Reply(202 if request.method == "PUT" else 200, body(**document | looked(request)))

    def looked(request: Request) -> dict[str, str]:
        return {"state": "indexed"} if request.method == "GET" else {}

    with Scripted.serve(answer) as server, Turnlog.open(server.url, "k") as client:
        done = client.publish("c", "big.pdf", b"x" * 5_000_000, media_type="application/pdf", wait=True)
    assert done.state == "indexed"
    assert [(request.path.partition("?")[0][-12:], len(request.body)) for request in server.asked] == [
        ("/v1/objects", 5_000_000), ("ents/big.pdf", 0), ("ents/big.pdf", 0),
    ]  # fmt: skip
    assert f"object_sha256={'ab' * 32}" in server.asked[1].path


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_a_no_is_not_asked_for_twice(status: int) -> None:
    with (
        Scripted.serve(lambda request: Reply(status, body(detail="no"))) as server,
        Turnlog.open(server.url, "k") as client,
    ):
        with pytest.raises(Problem, match="no") as problem:
            client.turn("t1")
    assert len(server.asked) == 1
    assert problem.value.exit_code == (4 if status in (401, 403) else 1)


@pytest.mark.parametrize("name", ["..", ".", "a/../b", "../..", ""])
def test_a_name_that_is_a_path_reaches_no_server_where_it_would_be_the_collections(name: str) -> None:
    with Scripted.serve(lambda request: Reply(204)) as server, Turnlog.open(server.url, "k") as client:
        with pytest.raises(TurnlogError, match="cannot be named over HTTP"):
            client.delete("handbook", name)
        client.delete("handbook", "..a/.hidden/b..")
    assert [request.path for request in server.asked] == ["/v1/collections/handbook/documents/..a%2F.hidden%2Fb.."]


def test_a_write_whose_first_try_is_still_on_its_way_is_asked_for_again() -> None:
    on_its_way = Reply(409, body(type="urn:turnlog:in-progress", detail="on its way"), headers={"retry-after": "0"})
    replies = iter([on_its_way, Reply(201, body(conversation_id="c1"))])
    with Scripted.serve(lambda request: next(replies)) as server, Turnlog.open(server.url, "k") as client:
        assert client.start_conversation() == "c1"
    assert len({request.headers["idempotency-key"] for request in server.asked}) == 1


def test_a_proxy_of_the_environment_is_not_asked_for_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Scripted.serve(lambda request: Reply(200, body(data=[]))) as server, Turnlog.open(server.url, "k") as client:
        assert client.models() == []
    with Turnlog.open("http://far.example", "k", give_up_seconds=0.2) as client:
        with pytest.raises(Unreachable, match=r"does not answer: .*refused"):
            client.models()


def test_what_is_no_turnlog_server_is_said_to_be_none() -> None:
    page = Reply(200, b"<html>It works!</html>", "text/html")
    with Scripted.serve(lambda request: page) as server, Turnlog.open(server.url, "k") as client:
        with pytest.raises(TurnlogError, match="answered with text/html: that is no Turnlog server"):
            client.models()


@pytest.mark.parametrize("reply", [Reply(204), Reply(200, b"{}"), Reply(200, b"[]"), Reply(200, b'{"text": 1}')])
def test_an_answer_of_another_form_is_said_to_be_of_no_turnlog_server(reply: Reply) -> None:
    calls: list[Callable[[Turnlog], object]] = [
        Turnlog.models, Turnlog.me, Turnlog.start_conversation, lambda client: client.search("x"),
        lambda client: client.turn("t1"), lambda client: client.conversation("c1"),
        lambda client: list(client.documents("c")), lambda client: client.create_key("x", ["chat"]),
    ]  # fmt: skip
    with Scripted.serve(lambda request: reply) as server, Turnlog.open(server.url, "k") as client:
        for call in calls:
            with pytest.raises(NotTurnlog, match="that is no Turnlog server"):
                call(client)


def test_a_server_that_is_elsewhere_is_told_with_where() -> None:
    moved = Reply(301, b"<html>", "text/html", {"location": "https://far.example/v1/models"})
    with Scripted.serve(lambda request: moved) as server, Turnlog.open(server.url, "k") as client:
        with pytest.raises(Problem, match=r"is at https://far.example/v1/models\nGive the address that it names"):
            client.models()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://far.example:1"),
        ("HTTPS_PROXY", "nonsense://far.example"),
        ("HTTPS_PROXY", "http://[::1"),
        ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
        ("SSL_CERT_FILE", __file__),
    ],
)
def test_a_proxy_or_certificate_that_cannot_be_used_is_told_with_where_it_is_set(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(TurnlogError, match=rf"cannot be used: [^\0]+\nSee .*{name}"):
        with Turnlog.open("https://far.example", "k"):
            pass


def test_a_name_that_is_too_long_for_an_address_is_said_to_be() -> None:
    with Turnlog.open("http://127.0.0.1:9", "k", give_up_seconds=0) as client:
        with pytest.raises(TurnlogError, match="Take a shorter name"):
            client.turn("x" * 70_000)


def test_a_working_folder_that_was_deleted_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TURNLOG_KEY", raising=False)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(NoKey):
        Connection.find("http://127.0.0.1:9")


def test_nobody_there_is_unreachable_with_a_cure() -> None:
    with Turnlog.open("http://127.0.0.1:9", "k", give_up_seconds=0.2) as client:
        with pytest.raises(Unreachable, match="does not answer") as problem:
            client.models()
    assert "TURNLOG_URL" in problem.value.cure


def test_a_list_is_read_page_by_page() -> None:
    def page(request: Request) -> Reply:
        one = {"collection_id": "c", "document_id": "1", "state": "indexed"}
        if "cursor=1" in request.path:
            return Reply(200, body(documents=[one | {"document_id": "2"}], next=None))
        return Reply(200, body(documents=[one], next="1"))

    with Scripted.serve(page) as server, Turnlog.open(server.url, "k") as client:
        assert [document.key for document in client.documents("c")] == ["c/1", "c/2"]


def test_said_wins_over_the_environment_and_that_over_a_local_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".turnlog").mkdir()
    (tmp_path / ".turnlog" / "key").write_text("tl_local\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.delenv("TURNLOG_URL", raising=False)
    monkeypatch.delenv("TURNLOG_KEY", raising=False)
    assert Connection.find() == Connection("http://127.0.0.1:8080", "tl_local")
    monkeypatch.setenv("TURNLOG_URL", "https://far.example/")
    monkeypatch.setenv("TURNLOG_KEY", "tl_env")
    assert Connection.find() == Connection("https://far.example", "tl_env")
    assert Connection.find("http://said.example", "tl_said") == Connection("http://said.example", "tl_said")


def test_without_a_key_or_with_a_wrong_address_the_cure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TURNLOG_KEY", raising=False)
    with pytest.raises(NoKey, match=r"Set TURNLOG_KEY"):
        Connection.find("http://far.example")
    with pytest.raises(TurnlogError, match="Begin it with http"):
        Connection.find("far.example", "tl_key")
    for address in ("http://foo:abc", "http://foo:99999", "http://", "http://[::1"):
        with pytest.raises(TurnlogError, match=r"is no address[^\0]*Begin it with http"):
            Connection.find(address, "tl_key")
    for key in ("tl_ключ", "tl_a\nb"):
        with pytest.raises(NoKey, match="Copy it again"):
            Connection.find("http://far.example", key)


def test_a_local_runs_key_that_may_not_be_read_is_none_and_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".turnlog" / "key").mkdir(parents=True)  # unreadable for root as well
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TURNLOG_KEY", raising=False)
    assert Connection.find("http://localhost:1", "tl_said").key == "tl_said"
    with pytest.raises(NoKey):
        Connection.find("http://localhost:1")


def test_a_key_of_a_local_run_is_not_sent_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".turnlog").mkdir()
    (tmp_path / ".turnlog" / "key").write_text("tl_local\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TURNLOG_KEY", raising=False)
    with pytest.raises(NoKey):
        Connection.find("https://far.example")


def test_a_key_is_in_no_repr() -> None:
    assert "tl_secret" not in repr(Connection("http://far.example", "tl_secret"))
