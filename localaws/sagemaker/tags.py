"""Tags of SageMaker resources, by ARN."""

from collections.abc import Iterable

from localaws.cloud import Cloud, Handler, Request, Response
from localaws.errors import AwsError
from localaws.paging import page

KIND = "tags"
LIMIT = 50  # tags on one resource
PAGE = 50


def replace(cloud: Cloud, arn: str, tags: Iterable[dict[str, str]]) -> None:
    """Give a new resource its tags, and no others: one of its name may have been here before."""
    cloud.store.delete(KIND, arn)
    _add(cloud, arn, tags)


def forget(cloud: Cloud, arn: str) -> None:
    """Drop a resource's tags with the resource."""
    cloud.store.delete(KIND, arn)


def add_tags(cloud: Cloud, request: Request) -> Response:
    """AddTags."""
    return {"Tags": _add(cloud, request["ResourceArn"], request["Tags"])}


def list_tags(cloud: Cloud, request: Request) -> Response:
    """ListTags."""
    shown, more = page(of(cloud, request["ResourceArn"]), request, PAGE)
    return {"Tags": shown, **more}


def delete_tags(cloud: Cloud, request: Request) -> Response:
    """DeleteTags."""
    arn = request["ResourceArn"]
    kept = [tag for tag in of(cloud, arn) if tag["Key"] not in request["TagKeys"]]
    replace(cloud, arn, kept)
    return {}


def of(cloud: Cloud, arn: str) -> list[dict[str, str]]:
    """A resource's tags, in the order they were first given."""
    document = cloud.store.get(KIND, arn)
    return document["Tags"] if document else []


def _add(cloud: Cloud, arn: str, tags: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    values = {tag["Key"]: tag["Value"] for tag in (*of(cloud, arn), *tags)}
    if len(values) > LIMIT:
        raise AwsError("ValidationException", f"A resource has at most {LIMIT} tags; {arn} would have {len(values)}.")
    merged = [{"Key": key, "Value": value} for key, value in values.items()]
    if merged:
        cloud.store.add(KIND, arn, {})
        cloud.store.update(KIND, arn, Tags=merged)
    return merged


OPERATIONS: dict[str, Handler] = {"AddTags": add_tags, "ListTags": list_tags, "DeleteTags": delete_tags}
