"""What OpenAI's clients send. A parameter that would change nothing is taken; any other unknown one is an error."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from api.fields import Body

Stops = Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=4)]
Word = Annotated[str, Field(max_length=512)]
INPUTS = 2048


def _in_one_sentence(sentence: str) -> WrapValidator:
    """Of a choice pydantic tells what each kind lacks, item by item, under names of its own; this is said instead."""

    def said(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(given)
        except ValidationError:
            raise PydanticCustomError("kind", sentence) from None

    return WrapValidator(said)


class TextPart(Body):
    """A part of a message; text is the only kind."""

    type: Literal["text"]
    text: str


Content = Annotated[
    str | Annotated[list[TextPart], Field(max_length=1000)],
    _in_one_sentence("a text, or at most 1000 parts of the type text and no other"),
]


class Message(Body):
    """A message of a conversation that the client keeps."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: None = None  # no prompt of ours says who speaks
    refusal: None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None
    annotations: list[dict[str, Any]] | None = Field(
        default=None, max_length=1000
    )  # ours, sent back: no part of a prompt

    @property
    def text(self) -> str:
        """Its words."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(Body):
    """What a stream says beside its text."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class TextFormat(Body):
    """The only form of answer."""

    type: Literal["text"]


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


class CompletionRequest(Body):
    """`POST /v1/chat/completions`. Neutral values of what is not supported are taken, because clients send them."""

    model: str = Field(min_length=1)
    messages: list[Message] = Field(min_length=1, max_length=2000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1)
    stop: Annotated[Stops | None, BeforeValidator(_listed)] = None
    user: Word | None = None
    metadata: Annotated[dict[Annotated[str, Field(max_length=64)], Word], Field(max_length=16)] | None = None
    n: Literal[1] | None = None
    response_format: TextFormat | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None
    logprobs: Literal[False] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None


Text = Annotated[str, Field(min_length=1)]
Input = Annotated[
    Text | Annotated[list[Text], Field(min_length=1, max_length=INPUTS)],
    _in_one_sentence(f"a text, or {INPUTS} at most, none of them empty; token numbers are not taken: send the text"),
]


class EmbeddingRequest(Body):
    """`POST /v1/embeddings`."""

    model: str = Field(min_length=1)
    input: Input
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1)
    user: Word | None = None
