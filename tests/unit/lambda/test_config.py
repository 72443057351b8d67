import pytest

from invoke_endpoint.config import Settings
from invoke_endpoint.errors import ConfigurationError

COMPLETE = {
    "ENDPOINT_NAME": "kennel-dogs",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example-secret",
}


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("value", [None, ""])
def test_names_the_variable_that_is_missing(name: str, value: str | None) -> None:
    environ = {key: text for key, text in (COMPLETE | {name: value}).items() if text is not None}
    with pytest.raises(ConfigurationError, match=rf"\b{name}\b"):
        Settings.from_environ(environ)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "https://runtime.sagemaker.eu-west-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, "http://127.0.0.1:4566"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": "https://vpce.example"},
            "https://vpce.example",
        ),
    ],
)
def test_finds_the_runtime(environ: dict[str, str], url: str) -> None:
    assert Settings.from_environ(COMPLETE | environ).runtime_url == url


def test_refuses_a_runtime_that_is_no_url() -> None:
    with pytest.raises(ConfigurationError, match="AWS_ENDPOINT_URL"):
        Settings.from_environ(COMPLETE | {"AWS_ENDPOINT_URL": "localhost:4566"})


def test_reads_the_allowed_hosts() -> None:
    read = Settings.from_environ(COMPLETE | {"ALLOWED_HOSTS": " Photos.Example, 127.0.0.1:4566 ,,"})
    assert read.allowed_hosts == {"photos.example", "127.0.0.1:4566"}


def test_trusts_no_host_and_discloses_nothing_by_default() -> None:
    read = Settings.from_environ(COMPLETE)
    assert (read.allowed_hosts, read.debug_response, read.credentials.session_token) == (frozenset(), False, None)


def test_keeps_secrets_out_of_its_repr() -> None:
    read = Settings.from_environ(COMPLETE | {"AWS_SESSION_TOKEN": "example-token"})
    assert "example-secret" not in repr(read)
    assert "example-token" not in repr(read)
