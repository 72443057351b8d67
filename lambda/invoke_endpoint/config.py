"""The function's settings, read from its environment."""

from collections.abc import Mapping
from typing import NamedTuple

from .errors import ConfigurationError


# NamedTuple and not dataclass throughout: dataclasses takes longer to import than all of this package.
class Credentials(NamedTuple):
    """The execution role's temporary keys."""

    access_key: str
    secret_key: str
    session_token: str | None

    def __repr__(self) -> str:
        return f"Credentials(access_key={self.access_key!r})"


class Settings(NamedTuple):
    """What one invocation needs to know; the package's docstring describes the variables."""

    endpoint_name: str
    region: str
    runtime_url: str
    credentials: Credentials
    allowed_hosts: frozenset[str]
    debug_response: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises ConfigurationError naming the variable that is missing or wrong."""

        def required(name: str) -> str:
            if not environ.get(name):
                raise ConfigurationError(f"the environment variable {name} is not set")
            return environ[name]

        region = required("AWS_REGION")
        runtime_url = (
            environ.get("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME")
            or environ.get("AWS_ENDPOINT_URL")
            or f"https://runtime.sagemaker.{region}.amazonaws.com"
        )
        if not runtime_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"AWS_ENDPOINT_URL must start with http:// or https://, not be {runtime_url!r}")
        return cls(
            endpoint_name=required("ENDPOINT_NAME"),
            region=region,
            runtime_url=runtime_url,
            credentials=Credentials(
                access_key=required("AWS_ACCESS_KEY_ID"),
                secret_key=required("AWS_SECRET_ACCESS_KEY"),
                session_token=environ.get("AWS_SESSION_TOKEN") or None,
            ),
            allowed_hosts=frozenset(
                host for entry in environ.get("ALLOWED_HOSTS", "").split(",") if (host := entry.strip().lower())
            ),
            debug_response=environ.get("DEBUG_RESPONSE") == "1",
        )
