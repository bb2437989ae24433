"""Which certificates downloads trust: the system's where it has some, because a company's own are among them."""

from collections.abc import Mapping
from pathlib import Path

SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")


def with_certificates(environment: Mapping[str, str], system: Path = SYSTEM) -> dict[str, str]:
    """An environment for downloads; what it says already wins. Without this, each client trusts only what it brings."""
    if not system.exists():
        return dict(environment)
    return {"UV_SYSTEM_CERTS": "1", "REQUESTS_CA_BUNDLE": str(system), **environment}
