"""Configuration files: YAML in the shape that it must have; whatever is wrong is told with file, place and cure."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import Invalid

T = TypeVar("T", bound=BaseModel)
CURES = {"extra_forbidden": "no such key, remove it", "missing": "is missing, add it"}
SHOWN_CHARACTERS = 100


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands there twice, of which PyYAML would take the last one and say nothing."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        keys: dict[str, Any] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (first := keys.setdefault(key.value, key)) is not key:
                lines = f"lines {first.start_mark.line + 1} and {key.start_mark.line + 1}"
                raise Invalid(f"{key.value!r} stands there twice ({lines}); rename one or remove it")
        return node


def read_yaml(path: Path, shape: type[T], *, missing: str, show_values: bool = False) -> T:
    """A file as its model; raises Invalid. `missing`: what to do when there is none.

    `show_values`: errors repeat what stands there, which may not be where somebody may write a key by mistake.
    """
    try:
        return shape.model_validate(yaml.load(path.read_text(encoding="utf-8"), _Loader))  # noqa: S506 - it is a safe one
    except FileNotFoundError as exc:
        raise Invalid(f"{path} is missing: {missing}") from exc
    except OSError as exc:
        raise Invalid(f"{path} cannot be read ({exc.strerror}): give this user the right to") from exc
    except UnicodeDecodeError as exc:
        raise Invalid(f"{path} is not UTF-8 (byte {exc.start}): save it as UTF-8") from exc
    except yaml.YAMLError as exc:
        raise Invalid(f"{path} is not YAML: {exc}") from exc
    except ValidationError as exc:
        raise Invalid(f"{path}: {'; '.join(_problem(each, show_values) for each in exc.errors())}") from exc
    except Invalid as exc:
        raise Invalid(f"{path}: {exc}") from exc


def _problem(error: Any, show_value: bool) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the file"
    if cure := CURES.get(error["type"]):
        return f"{place}: {cure}"
    return f"{place}: {error['msg']}" + (f", not {str(error['input'])[:SHOWN_CHARACTERS]!r}" if show_value else "")
