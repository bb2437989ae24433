"""Keys, principals and record keys."""

import dataclasses

import pytest

from infra.access import SCOPES, make_key, record_key, sha256_of, split_key
from tests.examples import example
from topics.catalogue import ACCESS_CHANGES, DOCUMENTS


def test_a_key_takes_apart_into_its_id_and_the_secret_whose_hash_is_kept() -> None:
    key, created = make_key("ann", "laptop", ["search", "chat"], "ann")
    parts = split_key(key)
    assert parts is not None
    assert parts[0] == created.key_id
    assert sha256_of(parts[1]) == created.secret_sha256
    assert parts[1] not in str(dataclasses.asdict(created))
    assert created.scopes == [scope for scope in SCOPES if scope in ("chat", "search")]


@pytest.mark.parametrize("key", ["", "tl_", "tl_0123456789abcdef_short", "Bearer x", "tl_0123456789ABCDEF_" + "a" * 43])
def test_what_does_not_look_like_a_key_is_none(key: str) -> None:
    assert split_key(key) is None


def test_every_event_of_the_topic_travels_under_its_entity() -> None:
    for kind in ACCESS_CHANGES.events:
        assert ":" in record_key(example(kind))
    with pytest.raises(TypeError):
        record_key(example(DOCUMENTS.events[0]))
