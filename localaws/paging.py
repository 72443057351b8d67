"""Listings in pages: NextToken is the number of the entry that the next page begins with."""

import re
from collections.abc import Sequence
from typing import Any

from localaws.cloud import Request
from localaws.errors import AwsError

TOKEN = re.compile("[0-9]{1,9}")


def page(
    entries: Sequence[Any], request: Request, size: int, refusal: str = "ValidationException"
) -> tuple[Sequence[Any], dict[str, str]]:
    """The entries that a request asks for, `size` unless it says MaxResults, and the NextToken if there are more.

    An AwsError with the code `refusal` for a token that is of no listing.
    """
    token = request.get("NextToken", "0")
    if not TOKEN.fullmatch(token):
        raise AwsError(refusal, "The NextToken is not one of this listing.")
    end = int(token) + request.get("MaxResults", size)
    return entries[int(token) : end], {"NextToken": str(end)} if end < len(entries) else {}
