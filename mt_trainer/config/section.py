"""What all config sections share: frozen, no unknown key, strict types."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A group of settings. Immutable once validated; an unknown key or a value of another type is refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=False,
    )


@dataclass(frozen=True)
class Bounds:
    """Bounds in words, in `Annotated`, for a number whose values are no interval."""

    text: str


def setting(default: Any, description: str, *, unit: str | None = None, **bounds: Any) -> Any:
    """A key of a section: its default, one sentence, its bounds (`ge`, `gt`, `le`, `lt`, `min_length`) and its unit."""
    return Field(default=default, description=description, json_schema_extra={"unit": unit} if unit else None, **bounds)


def required(description: str, *, unit: str | None = None, **bounds: Any) -> Any:
    """A key that has no default."""
    return Field(description=description, json_schema_extra={"unit": unit} if unit else None, **bounds)
