"""Signature Version 4 for a POST without a query string to SageMaker's runtime.

Protocol: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote, urlsplit

from .config import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "sagemaker"
DEFAULT_PORTS = {"http": 80, "https": 443}


def sign(
    url: str, headers: Mapping[str, str], body: bytes, credentials: Credentials, region: str, now: datetime
) -> dict[str, str]:
    """`headers` and those that sign them, Host included. `url` is as it will be sent, percent-encoded; `now` is UTC."""
    parts = urlsplit(url)
    timestamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {
        **headers,
        "Host": parts.netloc.lower().removesuffix(f":{DEFAULT_PORTS[parts.scheme]}"),
        "X-Amz-Date": timestamp,
    }
    if credentials.session_token:
        signed["X-Amz-Security-Token"] = credentials.session_token

    canonical = {name.lower(): " ".join(value.split()) for name, value in sorted(signed.items(), key=_lower_name)}
    names = ";".join(canonical)
    request = "\n".join(
        [
            "POST",
            quote(parts.path, safe="/~"),  # encoded a second time: every service but S3 wants it so
            "",
            *(f"{name}:{value}" for name, value in canonical.items()),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{timestamp[:8]}/{region}/{SERVICE}/aws4_request"
    to_sign = "\n".join([ALGORITHM, timestamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signed["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, "
        f"Signature={_hmac(key, to_sign).hex()}"
    )
    return signed


def _lower_name(header: tuple[str, str]) -> str:
    return header[0].lower()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
