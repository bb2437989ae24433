"""Who may what: collections and their readers, and keys."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from turnlog.aio.http import AsyncHttp
from turnlog.errors import Problem
from turnlog.model import ApiKey, Collection, Me, NewApiKey, read
from turnlog.paths import path, said


class AsyncAccess:
    """Collections that a key may publish to or read, and the keys of its user."""

    _http: AsyncHttp

    async def create_collection(
        self, collection_id: str, *, name: str | None = None, readers: Sequence[str] = ()
    ) -> Collection:
        """Makes a collection. Its owner reads it, and who else is in `readers`: `user:ID`, `group:NAME` or `public`.

        One that is there already is fine; raises Problem when it has other readers than those given.
        """
        body = {"collection_id": collection_id, "name": name or collection_id, "readers": list(readers)}
        taken: Problem | None = None
        try:
            await self._http.write("POST", "/v1/collections", json=body)
        except Problem as problem:
            if problem.status != 409:
                raise
            taken = problem
        found = await self.collection(collection_id)
        if taken and readers and set(readers) != set(found.readers):
            raise taken
        return found

    async def collection(self, collection_id: str) -> Collection:
        """One collection."""
        return read(Collection, await self._http.json("GET", path("collections", collection_id), fresh=True))

    async def collections(self) -> AsyncIterator[Collection]:
        """The collections that one may read."""
        async for told in self._http.pages("/v1/collections", "collection_id"):
            yield read(Collection, told)

    async def change_readers(self, collection_id: str, readers: Sequence[str]) -> Collection:
        """Says who reads a collection besides its owner: the whole new list."""
        where = path("collections", collection_id, "readers")
        await self._http.write("PUT", where, json={"readers": list(readers)})
        return await self.collection(collection_id)

    async def delete_collection(self, collection_id: str) -> None:
        """Deletes a collection: nothing in it is found any more, and its id is given to nobody again."""
        await self._http.write("DELETE", path("collections", collection_id))

    async def create_key(
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
        return read(NewApiKey, await self._http.write("POST", "/v1/keys", json=body))

    async def keys(self, user_id: str | None = None) -> AsyncIterator[ApiKey]:
        """One's keys without their secrets, also those revoked; with an administrator's key another user's."""
        async for told in self._http.pages("/v1/keys", "key_id", user_id=user_id):
            yield read(ApiKey, told)

    async def revoke_key(self, key_id: str) -> None:
        """Revokes a key: it stops working within a second."""
        await self._http.write("DELETE", path("keys", key_id))

    async def me(self) -> Me:
        """Whose key this is, and what it may."""
        return read(Me, await self._http.json("GET", "/v1/me", fresh=True))
