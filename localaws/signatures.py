"""Who signed a request: AWS's Signature Version 4, in the header or in the URL, and Version 2 in an S3 URL.

MiniStack takes unsigned requests on several paths, `test` and account numbers as keys, and does not check a root key's
secret. So each request is checked here first, whatever it asks for, and only then handed on. What AWS serves unsigned
(public buckets, links in notifications, some Cognito and STS operations) is refused too, but for functions' own URLs
(function_urls.py).

Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
Version 2: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

import functools
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
from ministack.core.iam_evaluator import (
    CredentialResolutionError,
    ResolvedCredential,
    is_root_access_key,
    resolve_credential,
)
from ministack.core.router import extract_access_key_id
from ministack.core.sigv4 import (
    SIGNATURE_MISMATCH,
    HeaderSignature,
    header_signature_failure,
    parse_header_signature,
    parse_query_signature,
    presigned_request_is_expired,
    request_time_failure,
)

LONGEST_URL = 7 * 24 * 3600  # seconds a version 4 URL may be good for
SHORT_URL = 15 * 60  # and how long it is when it does not say


class Refusal(NamedTuple):
    """Why a request is refused: MiniStack's code of it, which becomes the service's own, and a sentence."""

    code: str
    message: str


UNSIGNED = Refusal("MissingAuthenticationToken", "Request is missing Authentication Token")
UNKNOWN_KEY = Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
MISMATCH = Refusal("SignatureDoesNotMatch", SIGNATURE_MISMATCH)
EXPIRED = Refusal("RequestExpired", "Request has expired")
UNSUPPORTED = Refusal("UnsupportedSignature", "Sign with AWS4-HMAC-SHA256.")


@dataclass(frozen=True)
class SignedRequest:
    """A request as it came: the path still encoded, header names in lower case, the body undecoded."""

    method: str
    raw_path: str
    query_string: str
    headers: dict[str, str]
    body: bytes

    @functools.cached_property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name, decoded."""
        return parse_qs(self.query_string, keep_blank_values=True)


def refusal(request: SignedRequest, service: str, account_id: str) -> Refusal | None:
    """Why the request must not be served, or None when a known key signed it, all of it and in time.

    `service` is what MiniStack would hand it to.
    """
    access_key_id = extract_access_key_id(request.headers, request.query)
    if not access_key_id:
        return UNSUPPORTED if "authorization" in request.headers else UNSIGNED
    if is_root_access_key(access_key_id):
        return UNKNOWN_KEY
    if request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
        return _version_4(request, service, access_key_id, account_id, presigned=False)
    if "authorization" in request.headers:
        return UNSUPPORTED
    if "X-Amz-Signature" in request.query:
        return _version_4(request, service, access_key_id, account_id, presigned=True)
    return _version_2(request, service, access_key_id, account_id)


def _version_4(
    request: SignedRequest, service: str, access_key_id: str, account_id: str, *, presigned: bool
) -> Refusal | None:
    query = request.query
    signature = parse_query_signature(query) if presigned else parse_header_signature(request.headers)
    if not isinstance(signature, HeaderSignature):
        return Refusal(*signature)
    if signature.access_key_id != access_key_id:
        return UNKNOWN_KEY
    late = _expired(query, signature) if presigned else request_time_failure(signature)
    if late:
        return Refusal(*late)
    # A URL signed for S3 leaves headers and body open, so it must not be turned into a call of another service.
    if (signature.service == "s3") != (service == "s3"):
        return Refusal("SignatureDoesNotMatch", f"Credential should be scoped to correct service: '{service}'.")
    if not _covers(request, signature, presigned=presigned):
        return MISMATCH
    token = query.get("X-Amz-Security-Token", [""])[0] if presigned else request.headers.get("x-amz-security-token", "")
    credential = _credential(access_key_id, account_id, token)
    if isinstance(credential, Refusal):
        return credential
    failure = header_signature_failure(
        signature,
        credential.secret_access_key,
        request.method,
        request.raw_path,
        query,
        request.headers,
        request.body,
        presigned=presigned,
    )
    return Refusal(*failure) if failure else None


def _expired(query: dict[str, list[str]], signature: HeaderSignature) -> Refusal | None:
    expires = query.get("X-Amz-Expires", [str(SHORT_URL)])[0]
    try:
        if 0 < int(expires) <= LONGEST_URL and not presigned_request_is_expired(signature.amz_date, expires):
            return None
    except ValueError:
        return Refusal("IncompleteSignature", "X-Amz-Date or X-Amz-Expires is malformed.")
    return EXPIRED


def _covers(request: SignedRequest, signature: HeaderSignature, *, presigned: bool) -> bool:
    """Whether the signature stands for every x-amz-* header, the host, and the body where it claims to."""
    signed = set(signature.signed_headers.split(";"))
    if not signature.signature.isascii() or "host" not in signed:
        return False
    if any(name.startswith("x-amz-") and name not in signed for name in request.headers):
        return False
    declared = request.headers.get("x-amz-content-sha256", "")
    if not declared or (signature.service == "s3" and (presigned or declared.startswith(("UNSIGNED-", "STREAMING-")))):
        return True
    return declared == hashlib.sha256(request.body).hexdigest()


def _version_2(request: SignedRequest, service: str, access_key_id: str, account_id: str) -> Refusal | None:
    query = {name: values[0] for name, values in request.query.items()}
    expires, signature = query.get("Expires", ""), query.get("Signature", "")
    if service != "s3" or not signature or not expires.isdecimal():
        return UNSUPPORTED
    if int(expires) < time.time():
        return EXPIRED
    token = query.get("x-amz-security-token", "")
    credential = _credential(access_key_id, account_id, token)
    if isinstance(credential, Refusal):
        return credential
    headers = botocore.awsrequest.HTTPHeaders()
    # Headers that the URL carries count as sent.
    for name, value in (request.headers | {name: query[name] for name in query if name.startswith("x-amz-")}).items():
        headers[name] = value
    signer = botocore.auth.HmacV1QueryAuth(
        botocore.credentials.Credentials(access_key_id, credential.secret_access_key)
    )
    signer._get_date = lambda: expires  # it would count from now
    url = urlsplit(f"//host{request.raw_path}?{request.query_string}")
    expected = signer.get_signature(request.method, url, headers)
    return None if hmac.compare_digest(signature.encode(), expected.encode()) else MISMATCH


def _credential(access_key_id: str, account_id: str, token: str) -> ResolvedCredential | Refusal:
    found = resolve_credential(access_key_id, account_id, token)
    if not isinstance(found, CredentialResolutionError):
        return found
    # AWS takes a session's key without its token for an unknown key.
    return UNKNOWN_KEY if found.code == "InvalidToken" and not token else Refusal(found.code, found.message)
