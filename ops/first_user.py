"""The first user of an installation, its key and its collection: said on `access-changes` like every other change.

`python -m ops.first_user FILE` makes the key in FILE, or says again what is there (`docker-compose.yml` does it)
"""

import asyncio
import sys
from pathlib import Path

from infra.access import make_key, record_key, sha256_of, split_key
from infra.kafka.publisher import Publisher
from infra.local.layout import Account, write_private
from infra.registry.client import RegistryClient
from infra.settings import Settings, read_settings
from schemas.access import CollectionCreated, KeyCreated, UserCreated
from schemas.codec import Codec
from schemas.errors import Invalid
from topics.catalogue import ACCESS_CHANGES

USER = "admin"
COLLECTION = "turnlog"
FIRST_SCOPES = ("chat", "search", "publish", "admin")  # whoever would read people's words makes a key for that


def first_key(file: Path) -> str:
    """The key in this file of mode 600; made when there is none, so that a second try goes on with the same."""
    if not file.exists():
        key, _ = make_key(USER, "first key", FIRST_SCOPES, USER)
        write_private(file, key + "\n", Account())
    return file.read_text().strip()


async def introduce(settings: Settings, key: str) -> None:
    """Says that the user, the key (by its hash) and the collection exist; saying it twice changes nothing."""
    parts = split_key(key)
    if parts is None:
        raise Invalid("the key file holds no key: remove it, and another is made")
    key_id, secret = parts
    events = (
        UserCreated(user_id=USER, name="Administrator", created_by=USER),
        KeyCreated(
            key_id=key_id,
            user_id=USER,
            name="first key",
            secret_sha256=sha256_of(secret),
            scopes=list(FIRST_SCOPES),
            created_by=USER,
        ),
        CollectionCreated(collection_id=COLLECTION, name="About Turnlog", owner=USER, readers=["public"]),
    )
    registry = RegistryClient(settings)
    try:
        await registry.load((ACCESS_CHANGES,))
        async with Publisher.open(settings, Codec(registry)) as publisher:
            for event in events:
                await publisher.publish(ACCESS_CHANGES, record_key(event), event)
    finally:
        await registry.close()


def main() -> int:
    """Exit code 1 with the cause."""
    try:
        asyncio.run(introduce(read_settings(), first_key(Path(sys.argv[1]))))
    except Invalid as exc:
        print(f"first user: {exc}", file=sys.stderr)
        return 1
    print(f"the key of {USER} is in {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
