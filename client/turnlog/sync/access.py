# Generated from turnlog/aio/access.py by `make generate`; `make check` fails when it is stale.
"""Who may what: collections and their readers, and keys."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from turnlog.errors import Problem
from turnlog.model import ApiKey, Collection, Me, NewApiKey, read
from turnlog.paths import path, said
from turnlog.sync.http import Http


class Access:
    """Collections that a key may publish to or read, and the keys of its user."""

    _http: Http

    def create_collection(
        self, collection_id: str, *, name: str | None = None, readers: Sequence[str] = ()
    ) -> Collection:
        """Makes a collection. Its owner reads it, and who else is in `readers`: `user:ID`, `group:NAME` or `public`.

        One that is there already is fine; raises Problem when it has other readers than those given.
        """
        body = {"collection_id": collection_id, "name": name or collection_id, "readers": list(readers)}
        taken: Problem | None = None
        try:
            self._http.write("POST", "/v1/collections", json=body)
        except Problem as problem:
            if problem.status != 409:
                raise
            taken = problem
        found = self.collection(collection_id)
        if taken and readers and set(readers) != set(found.readers):
            raise taken
        return found

    def collection(self, collection_id: str) -> Collection:
        """One collection."""
        return read(Collection, self._http.json("GET", path("collections", collection_id), fresh=True))

    def collections(self) -> Iterator[Collection]:
        """The collections that one may read."""
        for told in self._http.pages("/v1/collections", "collection_id"):
            yield read(Collection, told)

    def change_readers(self, collection_id: str, readers: Sequence[str]) -> Collection:
        """Says who reads a collection besides its owner: the whole new list."""
        where = path("collections", collection_id, "readers")
        self._http.write("PUT", where, json={"readers": list(readers)})
        return self.collection(collection_id)

    def delete_collection(self, collection_id: str) -> None:
        """Deletes a collection: nothing in it is found any more, and its id is given to nobody again."""
        self._http.write("DELETE", path("collections", collection_id))

    def create_key(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        user_id: str | None = None,
        service: bool = False,
        expires_at: datetime | None = None,
    ) -> NewApiKey:
        """Makes a key; its secret is told here and never again. For another user an administrator's key is needed.

        When the first answer was lost, a second key is made, and the first one, known to nobody, is in `keys`.
        """
        ends = expires_at.isoformat() if expires_at else None
        body = said(name=name, scopes=list(scopes), user_id=user_id, service=service or None, expires_at=ends)
        return read(NewApiKey, self._http.write("POST", "/v1/keys", json=body))

    def keys(self, user_id: str | None = None) -> Iterator[ApiKey]:
        """One's keys without their secrets, also those revoked; with an administrator's key another user's."""
        for told in self._http.pages("/v1/keys", "key_id", user_id=user_id):
            yield read(ApiKey, told)

    def revoke_key(self, key_id: str) -> None:
        """Revokes a key: it stops working within a second."""
        self._http.write("DELETE", path("keys", key_id))

    def me(self) -> Me:
        """Whose key this is, and what it may."""
        return read(Me, self._http.json("GET", "/v1/me", fresh=True))
