"""Requests made from a route's description: a valid one of one's own, and one for each identifier of somebody else."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]


class Untaught(AssertionError):
    """A name that the walk does not know: say in `test_walk.py` whether it identifies something of somebody's."""


@dataclass(frozen=True)
class Words:
    """What the walk knows. `harmless`: names that identify nothing of anybody's, with a valid value."""

    own: Mapping[str, Any]
    others: Mapping[str, list[Any]]
    harmless: Mapping[str, Any]

    def value(self, name: str) -> Any:
        """A valid value of one's own for a name."""
        if name in self.own:
            return self.own[name]
        if name in self.harmless:
            return self.harmless[name]
        raise Untaught(name)


@dataclass(frozen=True)
class Call:
    """A request; `slot` says which of its identifiers is somebody else's."""

    method: str
    template: str
    path: Json = field(default_factory=dict)
    query: Json = field(default_factory=dict)
    headers: Json = field(default_factory=dict)
    body: Any = None
    slot: str = "nothing"
    value: Any = None

    @property
    def url(self) -> str:
        """The path, filled in."""
        return self.template.format(**self.path)

    @property
    def arguments(self) -> Json:
        """What httpx takes besides method and URL."""
        if isinstance(self.body, bytes) and "object_sha256" in self.query:  # it stands in place of the body
            return {"params": self.query, "headers": {"content-type": "text/plain", **self.headers}}
        if isinstance(self.body, bytes):
            return {
                "params": self.query,
                "headers": {"content-type": "text/plain", **self.headers},
                "content": self.body,
            }
        if self.body is None:
            return {"params": self.query, "headers": self.headers}
        head = {"content-type": "application/json", **self.headers}
        return {"params": self.query, "headers": head, "content": json.dumps(self.body).encode()}

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.template} with {self.slot} = {self.value!r}"


def calls(api: Json, words: Words) -> Iterator[Call]:
    """One's own call of every operation, each followed by those with an identifier of somebody else."""
    for template, operations in api["paths"].items():
        for method, operation in operations.items():
            own = _own(api, words, method, template, operation)
            yield own
            yield from _others(api, words, own, operation)


def _own(api: Json, words: Words, method: str, template: str, operation: Json) -> Call:
    call = Call(method, template, body=_body(api, words, operation, method))
    for parameter in operation.get("parameters", []):
        name, place = parameter["name"], parameter["in"]
        if place == "path":
            call.path[name] = words.value(name)
        elif place in ("query", "header"):
            value = words.value(name)  # also when it is optional: it must be known
            if parameter.get("required"):
                (call.query if place == "query" else call.headers)[name] = value
    return call


def _others(api: Json, words: Words, own: Call, operation: Json) -> Iterator[Call]:
    for parameter in operation.get("parameters", []):
        name, place = parameter["name"], {"path": "path", "query": "query", "header": "headers"}[parameter["in"]]
        for value in words.others.get(name, []):
            filled: Any = {place: {**getattr(own, place), name: value}}
            yield replace(own, **filled, slot=f"{parameter['in']} {name}", value=value)
    schema = _json_schema(api, operation)
    if schema is not None:
        for where, name in _slots(api, schema, words):
            for value in words.others[name]:
                yield replace(own, body=_put(own.body, where, value), slot=f"body {'.'.join(where)}", value=value)


def _json_schema(api: Json, operation: Json) -> Json | None:
    content = operation.get("requestBody", {}).get("content", {})
    return _resolved(api, content["application/json"]["schema"]) if "application/json" in content else None


def _body(api: Json, words: Words, operation: Json, method: str) -> Any:
    schema = _json_schema(api, operation)
    if schema is not None:
        return _sample(api, schema, words)
    return b"words of a document" if method in ("put", "post") and not operation.get("x-no-body") else None


def _sample(api: Json, schema: Json, words: Words) -> Json:
    required = schema.get("required", [])
    for name in schema.get("properties", {}):
        _known(api, schema["properties"][name], name, words)
    return {name: _value(api, schema["properties"][name], name, words) for name in required}


def _value(api: Json, schema: Json, name: str, words: Words) -> Any:
    nested = _resolved(api, schema)
    if nested.get("properties") and name not in words.harmless:
        return _sample(api, nested, words)
    return words.value(name)


def _known(api: Json, schema: Json, name: str, words: Words) -> None:
    nested = _resolved(api, schema)
    if nested.get("properties") and name not in words.harmless:
        _sample(api, nested, words)
    else:
        words.value(name)


def _slots(api: Json, schema: Json, words: Words) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, described in schema.get("properties", {}).items():
        if name in words.others:
            yield (name,), name
        elif name not in words.harmless:
            nested = _resolved(api, described)
            yield from (((name, *where), last) for where, last in _slots(api, nested, words))


def _resolved(api: Json, schema: Json) -> Json:
    """A schema without references; of alternatives the one that is an object, or the first that is not null."""
    if "$ref" in schema:
        return _resolved(api, api["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in schema:
        found = [_resolved(api, one) for one in schema["anyOf"] if one.get("type") != "null"]
        return next((one for one in found if one.get("properties")), found[0])
    return schema


def _put(body: Json, where: tuple[str, ...], value: Any) -> Json:
    name, *rest = where
    return {**body, name: _put(body.get(name, {}), tuple(rest), value) if rest else value}
