"""Bytes by their hash: what is read is what was written, and no name reaches anything else."""

import hashlib
from pathlib import Path

import pytest

from infra.objects import Objects, path_of
from infra.settings import Settings
from schemas.errors import Invalid
from schemas.event import Content

WORDS = b"The pump in hall 3 stops at 02:00."
SHA256 = hashlib.sha256(WORDS).hexdigest()


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.open(Settings(data=tmp_path))


def file_of(tmp_path: Path, sha256: str) -> Path:
    (found,) = tmp_path.rglob(sha256)
    return found


async def test_what_is_put_is_got_by_its_hash(objects: Objects) -> None:
    assert await objects.put(WORDS) == SHA256
    assert await objects.put(WORDS) == SHA256
    assert await objects.get(SHA256) == WORDS


async def test_an_object_lies_under_its_hash(objects: Objects, tmp_path: Path) -> None:
    await objects.put(WORDS)
    assert file_of(tmp_path, SHA256).as_posix().endswith(f"objects/{SHA256[:2]}/{SHA256[2:4]}/{SHA256}")


async def test_bytes_that_were_changed_are_never_given_out(objects: Objects, tmp_path: Path) -> None:
    await objects.put(WORDS)
    file_of(tmp_path, SHA256).write_bytes(WORDS + b" Or not.")
    with pytest.raises(Invalid, match="other bytes than its name says"):
        await objects.get(SHA256)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", SHA256[:-1], SHA256 + "0", SHA256.upper(), "g" * 64, f"../{SHA256}"[:64], "٣" * 64]
)
async def test_nothing_but_a_hash_names_an_object(objects: Objects, name: str) -> None:
    for use in (objects.get, objects.delete):
        with pytest.raises(Invalid, match="64 lower-case hex digits"):
            await use(name)
    with pytest.raises(Invalid):
        await objects.read(Content(object_sha256=name, size=1))
    with pytest.raises(Invalid):
        path_of(name)


async def test_an_object_that_is_not_there_is_invalid_and_not_waited_for(objects: Objects) -> None:
    with pytest.raises(Invalid, match=f"there is no object {SHA256}"):
        await objects.get(SHA256)


async def test_words_over_256_kb_are_checked_in_as_an_object(objects: Objects) -> None:
    most, more = b"a" * 256 * 1024, b"a" * (256 * 1024 + 1)
    inline, claimed = await objects.content_of(most), await objects.content_of(more)
    assert (inline.inline, inline.object_sha256, inline.size) == (most, None, len(most))
    assert (claimed.inline, claimed.object_sha256, claimed.size) == (None, hashlib.sha256(more).hexdigest(), len(more))
    assert await objects.read(inline) == most
    assert await objects.read(claimed) == more


async def test_content_is_of_characters_as_utf_8_and_of_nothing_it_is_invalid(objects: Objects) -> None:
    assert await objects.read(await objects.content_of("Grüße")) == "Grüße".encode()
    with pytest.raises(Invalid, match="neither bytes nor an object"):
        await objects.read(Content(size=3))


async def test_a_deleted_object_is_gone_and_deleting_it_again_is_fine(objects: Objects) -> None:
    await objects.put(WORDS)
    await objects.delete(SHA256)
    await objects.delete(SHA256)
    with pytest.raises(Invalid, match="there is no object"):
        await objects.get(SHA256)
