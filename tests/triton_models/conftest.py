"""The provider that serves our own models."""

from tests.infra.providers.conftest import triton

__all__ = ["triton"]
