"""Three words decide what becomes of anything that goes wrong."""


class Invalid(Exception):
    """Will never work: say so where its sender looks."""


class Unavailable(Exception):
    """Something we need is down: retry with back-off.

    `server` names it for people and for AnswerWaiting: kafka, postgres, opensearch, registry, objects, or a provider.
    """

    def __init__(self, server: str, reason: str = "") -> None:
        super().__init__(f"{server} is unavailable: {reason}" if reason else f"{server} is unavailable")
        self.server = server
        self.reason = reason


class Refused(Exception):
    """We will not do this, and the answer says why."""


class Undecodable(Invalid):
    """These bytes are no event of ours: they go to `dead-letters` as they are."""
