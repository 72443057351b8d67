"""Nothing is served that a known key did not sign, whatever it asks for."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.conftest import LocalAws

CALLS = [
    ("s3", "list_buckets"),
    ("sts", "get_caller_identity"),
    ("iam", "list_users"),
    ("sagemaker", "list_models"),
    ("application-autoscaling", "describe_scalable_targets"),
    ("logs", "describe_log_groups"),
    ("lambda", "list_functions"),
    ("cloudwatch", "list_metrics"),
    ("cloudformation", "list_stacks"),
    ("ec2", "describe_instances"),
    ("sns", "list_topics"),
]
ARGUMENTS = {"application-autoscaling": {"ServiceNamespace": "sagemaker"}}
PATHS = [
    "/",
    "/a-bucket",
    "/a-bucket/key",
    "/health",
    "/_ministack/health",
    "/_ministack/ready",
    "/_ministack/config",
    "/_ministack/reset",
    "/_localstack/health",
    "/_aws/ses",
    "/_aws/sqs/messages",
    "/2015-03-31/functions",
    "/endpoints/any/invocations",
    "/oauth2/token",
    "/.well-known/jwks.json",
    "/latest/meta-data/",
    "/v2/email/identities",
]


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    """The code of the error that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert 400 <= caught.value.response["ResponseMetadata"]["HTTPStatusCode"] < 404
    return str(caught.value.response["Error"]["Code"])


def signed(local_aws: LocalAws, service: str, url: str, body: bytes = b"", **headers: str) -> dict[str, str]:
    """The headers of a POST signed as root."""
    key = Credentials(local_aws.env["AWS_ACCESS_KEY_ID"], local_aws.env["AWS_SECRET_ACCESS_KEY"])
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    SigV4Auth(key, service, local_aws.region).add_auth(request)
    return dict(request.headers)


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAws) -> str:
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="signatures")
    s3.put_object(Bucket="signatures", Key="a b/ü+1.txt", Body=b"held")
    return "signatures"


@pytest.mark.parametrize("path", PATHS)
def test_refuses_an_unsigned_request(local_aws: LocalAws, path: str) -> None:
    with httpx.Client(base_url=local_aws.url) as client:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = client.request(method, path)
            assert answer.status_code in (400, 403), method
            assert method == "HEAD" or "AccessDenied" in answer.text or "MissingAuthenticationToken" in answer.text


@pytest.mark.parametrize("target", ["SageMaker.ListModels", "Logs_20140328.DescribeLogGroups", "AmazonSSM.DescribeX"])
def test_refuses_an_unsigned_target(local_aws: LocalAws, target: str) -> None:
    answer = httpx.post(local_aws.url, headers={"X-Amz-Target": target}, content=b"{}")
    assert answer.status_code == 400
    assert answer.json()["__type"] == "MissingAuthenticationTokenException"


def test_refuses_an_unsigned_query_call_in_xml(local_aws: LocalAws) -> None:
    answer = httpx.post(local_aws.url, data={"Action": "GetCallerIdentity", "Version": "2011-06-15"})
    assert answer.status_code == 403
    assert "<Code>MissingAuthenticationToken</Code>" in answer.text


@pytest.mark.parametrize(("service", "call"), CALLS)
def test_refuses_the_root_key_with_another_secret(local_aws: LocalAws, service: str, call: str) -> None:
    key = local_aws.env["AWS_ACCESS_KEY_ID"]
    client = local_aws.client(service, aws_access_key_id=key, aws_secret_access_key="x" * 40)
    code = refused(getattr(client, call), **ARGUMENTS.get(service, {}))
    assert code in ("SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure")


@pytest.mark.parametrize("key", ["AKIAMADEUPMADEUP2345", "test", "000000000000", "123456789012"])
@pytest.mark.parametrize(("service", "call"), CALLS)
def test_refuses_a_key_it_does_not_know(local_aws: LocalAws, service: str, call: str, key: str) -> None:
    client = local_aws.client(service, aws_access_key_id=key, aws_secret_access_key="test")
    code = refused(getattr(client, call), **ARGUMENTS.get(service, {}))
    assert code in ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure")


def test_takes_a_users_key_until_it_is_deleted(local_aws: LocalAws) -> None:
    iam = local_aws.client("iam")
    iam.create_user(UserName="signer")
    key = iam.create_access_key(UserName="signer")["AccessKey"]
    names = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    assert local_aws.client("sts", **names).get_caller_identity()["Arn"].endswith(":user/signer")
    wrong = {**names, "aws_secret_access_key": key["SecretAccessKey"][::-1]}
    assert refused(local_aws.client("sts", **wrong).get_caller_identity) == "SignatureDoesNotMatch"
    iam.delete_access_key(UserName="signer", AccessKeyId=key["AccessKeyId"])
    assert refused(local_aws.client("sts", **names).get_caller_identity) == "InvalidClientTokenId"


def test_takes_a_session_only_with_its_token(local_aws: LocalAws) -> None:
    session = local_aws.role()
    assert ":assumed-role/" in local_aws.client("sts", **session).get_caller_identity()["Arn"]
    for token in (None, "another"):
        client = local_aws.client("sts", **{**session, "aws_session_token": token})
        assert refused(client.get_caller_identity) == "InvalidClientTokenId"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("as_role", [False, True])
def test_takes_a_presigned_url_until_it_expires(local_aws: LocalAws, bucket: str, version: str, as_role: bool) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    keys = local_aws.role(statement) if as_role else {}
    s3 = local_aws.client("s3", config=Config(signature_version=version), **keys)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/ü+1.txt"}, ExpiresIn=6)
    assert httpx.get(url).text == "held"
    deadline = time.monotonic() + 20
    while (late := httpx.get(url)).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert late.status_code == 403
    assert "Request has expired" in late.text


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_refuses_a_presigned_url_that_was_changed(local_aws: LocalAws, bucket: str, version: str) -> None:
    s3 = local_aws.client("s3", config=Config(signature_version=version))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/ü+1.txt"})
    for changed in (
        url.replace("1.txt", "2.txt"),
        url.replace("Signature=", "Signature=0"),
        url.replace("Expires=", "Expires=9"),
    ):
        assert httpx.get(changed).status_code in (400, 403)
    assert httpx.delete(url).status_code == 403
    assert httpx.get(url, headers={"x-amz-copy-source": "/other/key"}).status_code == 403


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_upload_cannot_become_a_call_of_another_service(
    local_aws: LocalAws, bucket: str, version: str
) -> None:
    s3 = local_aws.client("s3", config=Config(signature_version=version))
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "upload"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    as_iam = httpx.put(url, content=b"Action=CreateUser&UserName=smuggled&Version=2010-05-08", headers=form)
    as_sagemaker = httpx.put(url, content=b"{}", headers={"X-Amz-Target": "SageMaker.ListModels"})
    assert {as_iam.status_code, as_sagemaker.status_code} <= {400, 403}
    assert "smuggled" not in str(local_aws.client("iam").list_users()["Users"])
    assert httpx.put(url, content=b"photo").status_code == 200


def test_a_header_signature_covers_the_body(local_aws: LocalAws) -> None:
    target = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
    headers = signed(local_aws, "sagemaker", local_aws.url, b"{}", **target)
    assert httpx.post(local_aws.url, content=b"{}", headers=headers).status_code == 200
    other = httpx.post(local_aws.url, content=b'{"MaxResults": 1}', headers=headers)
    assert other.json()["__type"] == "InvalidSignatureException"
    declared = headers | {"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}
    assert httpx.post(local_aws.url, content=b"{}", headers=declared).json()["__type"] == "InvalidSignatureException"


def test_a_header_signature_covers_the_operation(local_aws: LocalAws) -> None:
    headers = signed(local_aws, "sagemaker", local_aws.url, b"{}")
    answer = httpx.post(local_aws.url, content=b"{}", headers=headers | {"X-Amz-Target": "SageMaker.ListModels"})
    assert answer.json()["__type"] == "InvalidSignatureException"


def test_refuses_a_request_signed_long_ago(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    key = Credentials(local_aws.env["AWS_ACCESS_KEY_ID"], local_aws.env["AWS_SECRET_ACCESS_KEY"])
    request = AWSRequest(method="GET", url=local_aws.url + "/")
    signer = SigV4Auth(key, "s3", local_aws.region)
    past = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: past)
    signer.add_auth(request)
    answer = httpx.get(local_aws.url + "/", headers=dict(request.headers))
    assert answer.status_code == 403
    assert "RequestTimeTooSkewed" in answer.text


def test_only_root_enters_ministacks_own_doors(local_aws: LocalAws) -> None:
    url = f"{local_aws.url}/_ministack/config"
    key = local_aws.role({"Effect": "Allow", "Action": "*", "Resource": "*"})
    credentials = Credentials(*key.values())
    request = AWSRequest(method="POST", url=url, data=b"{}")
    SigV4Auth(credentials, "s3", local_aws.region).add_auth(request)
    assert httpx.post(url, content=b"{}", headers=dict(request.headers)).status_code == 403
    assert httpx.post(url, content=b"{}", headers=signed(local_aws, "s3", url, b"{}")).status_code == 200


def test_health_needs_no_signature(local_aws: LocalAws) -> None:
    assert httpx.get(f"{local_aws.url}/_localaws/health").json() == {"status": "ok"}
