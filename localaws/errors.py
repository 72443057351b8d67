"""The one exception that a service operation raises on purpose."""

from typing import Any


class AwsError(Exception):
    """An error answer of AWS: its code, its message, its HTTP status, and what else its shape holds.

    `AwsError("ModelError", "...", 424, OriginalStatusCode=400)` answers with that member beside the message.
    """

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members
