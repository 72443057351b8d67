"""The one exception that a service operation raises on purpose."""


class AwsError(Exception):
    """An error answer of AWS: its code, its message and its HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
