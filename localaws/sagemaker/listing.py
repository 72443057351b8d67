"""What every List operation does with the resources of its kind: filter, sort, page."""

from collections.abc import Iterable
from typing import Any

from localaws.cloud import Request
from localaws.paging import page
from localaws.store import Document

PAGE = 10  # SageMaker's default MaxResults for most listings.


def listing(
    documents: Iterable[Document],
    request: Request,
    *,
    into: str,
    name: str,
    members: Iterable[str],
    order: str = "Descending",
    size: int = PAGE,
) -> dict[str, Any]:
    """The answer of a List operation: `members` of each document that the request wants, under the key `into`.

    Documents come oldest first and hold CreationTime and the member `name`. Of the request this understands
    NameContains, CreationTimeAfter, CreationTimeBefore, SortBy (Name, or else the time of creation), SortOrder,
    MaxResults and NextToken.
    """
    wanted = [document for document in documents if _matches(document, request, name)]
    if request.get("SortBy") == "Name":
        wanted.sort(key=lambda document: str(document[name]))
    if request.get("SortOrder", order) == "Descending":
        wanted.reverse()
    shown, more = page(wanted, request, size)
    members = tuple(members)
    return {into: [{key: item[key] for key in members if key in item} for item in shown], **more}


def _matches(document: Document, request: Request, name: str) -> bool:
    return (
        request.get("NameContains", "").lower() in str(document.get(name, "")).lower()
        and document["CreationTime"] > request.get("CreationTimeAfter", 0)
        and document["CreationTime"] < request.get("CreationTimeBefore", float("inf"))
    )
