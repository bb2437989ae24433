"""Who read people's words on the log, and why."""

from typing import Annotated

from schemas.event import Doc, Event


class AuditAccessed(Event):
    """Somebody was about to be shown people's words; said before they were."""

    auditor: Annotated[str, Doc("user id, or operator:NAME for an account of the servers; the record's key")]
    via: Annotated[str, Doc("api or command")]
    asked_for: Annotated[str, Doc("what was replayed, such as turn ID, conversation ID, user ID")]
    reason: Annotated[str, Doc("why, in the auditor's words")]
    turns: Annotated[list[str], Doc("the turns whose words were shown")]
    documents: Annotated[list[str], Doc("the documents whose words were shown, collection_id/document_id")]
    prompt: Annotated[bool, Doc("whether the whole input of the model was shown")] = False
