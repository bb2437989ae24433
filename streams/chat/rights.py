"""What a turn's user may read: asked in the same breath as its claim, and anew when the turn has waited since."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.postgres.freshness import Offsets
from schemas.answers import Permissions, ViewOffset
from schemas.errors import Refused


@dataclass(frozen=True)
class Rights:
    """As the views have them. `principals`: none for nobody; `folded`: how far the views were before they said it."""

    principals: Sequence[str]
    deleted_conversation: bool
    folded: Offsets

    def of(self, user_id: str) -> Permissions:
        """For the record; raises Refused for nobody, and in a conversation that was deleted."""
        if not self.principals:
            raise Refused("there is no such user, or it is switched off")
        if self.deleted_conversation:
            raise Refused("the conversation was deleted")
        views = [ViewOffset(topic=topic, partition=n, offset=at) for (topic, n), at in sorted(self.folded.items())]
        return Permissions(user_id=user_id, principals=sorted(self.principals), views=views)
