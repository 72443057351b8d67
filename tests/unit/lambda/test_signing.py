"""The signature must be the one that botocore makes, since the same people check both."""

import string
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invoke_endpoint import signing
from invoke_endpoint.config import Credentials
from invoke_endpoint.signing import sign

HEADERS = {"Content-Type": "image/jpeg", "Accept": "application/json"}
KEY_CHARACTERS = string.ascii_letters + string.digits + "+/="


def botocore_signs(
    patch: pytest.MonkeyPatch,
    url: str,
    headers: dict[str, str],
    body: bytes,
    keys: Credentials,
    region: str,
    now: datetime,
) -> dict[str, str]:
    patch.setattr(auth, "get_current_datetime", lambda: now.replace(tzinfo=None))
    request = AWSRequest("POST", url, headers, body)
    boto_keys = BotoCredentials(keys.access_key, keys.secret_key, keys.session_token)
    auth.SigV4Auth(boto_keys, "sagemaker", region).add_auth(request)
    return dict(request.headers.items())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    origin=st.sampled_from(
        [
            "https://runtime.sagemaker.eu-west-1.amazonaws.com",
            "https://Runtime.Example:8443",
            "https://host.example:443",
            "http://127.0.0.1:4566",
            "http://localhost:80",
            "http://[::1]:4566/prefix",
        ]
    ),
    endpoint=st.text(min_size=1, max_size=63).filter(lambda name: name not in {".", ".."}),
    content_type=st.sampled_from(["image/jpeg", "image/png", "  text/plain;   charset=utf-8 "]),
    body=st.binary(max_size=200),
    secret=st.text(KEY_CHARACTERS, min_size=1, max_size=50),
    token=st.none() | st.text(KEY_CHARACTERS, min_size=1, max_size=900),
    region=st.sampled_from(["eu-west-1", "us-east-1", "ap-southeast-2"]),
    now=st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)),
)
def test_signs_as_botocore_does(
    monkeypatch: pytest.MonkeyPatch,
    origin: str,
    endpoint: str,
    content_type: str,
    body: bytes,
    secret: str,
    token: str | None,
    region: str,
    now: datetime,
) -> None:
    url = f"{origin}/endpoints/{quote(endpoint, safe='')}/invocations"
    headers = HEADERS | {"Content-Type": content_type}
    keys = Credentials("ASIAEXAMPLE", secret, token)

    ours = sign(url, headers, body, keys, region, now)
    theirs = botocore_signs(monkeypatch, url, headers, body, keys, region, now)

    assert ours["Authorization"] == theirs["Authorization"]
    assert ours["X-Amz-Date"] == theirs["X-Amz-Date"]
    assert ours.get("X-Amz-Security-Token") == theirs.get("X-Amz-Security-Token")


def test_a_changed_body_changes_the_signature() -> None:
    def signature(body: bytes) -> str:
        keys = Credentials("ASIAEXAMPLE", "secret", None)
        return sign("https://host.example/a", HEADERS, body, keys, "eu-west-1", datetime.now(UTC))["Authorization"]

    assert signature(b"a photo") != signature(b"another")


# From AWS's published test suite for Signature Version 4: key AKIDEXAMPLE, region us-east-1, a service named "service".
@pytest.mark.parametrize(
    ("headers", "body", "signature"),
    [
        ({}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),  # post-vanilla
        (  # post-header-value-case
            {"My-Header1": "VALUE1"},
            b"",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (  # post-x-www-form-urlencoded
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)
def test_signs_as_awss_own_examples(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], body: bytes, signature: str
) -> None:
    monkeypatch.setattr(signing, "SERVICE", "service")
    keys = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    signed = sign("https://example.amazonaws.com/", headers, body, keys, "us-east-1", now)
    assert signed["Authorization"].endswith(f"Signature={signature}")
    assert signed["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
    )
