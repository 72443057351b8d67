"""What can go wrong, each with the HTTP status and code the caller gets."""

from typing import ClassVar


class ConfigurationError(Exception):
    """The function's environment is incomplete: its owner's fault, so it fails the invocation instead of answering."""


class InvocationError(Exception):
    """Ends an invocation: the message is for the caller, `detail` for the log only."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, message: str, **detail: object) -> None:
        super().__init__(message)
        self.detail = detail


class BadRequestError(InvocationError):
    """No or malformed input."""

    status = 400
    code = "bad_request"


class PhotoUnavailableError(InvocationError):
    """The photo's server cannot be reached, or answers with something else than the photo."""

    status = 400
    code = "photo_unavailable"


class AddressNotAllowedError(InvocationError):
    """The url leads to where the function does not go for a caller."""

    status = 403
    code = "address_not_allowed"


class PhotoTooLargeError(InvocationError):
    """More bytes than the function takes."""

    status = 413
    code = "photo_too_large"


class UnsupportedTypeError(InvocationError):
    """Something else than JPEG, PNG, GIF or WebP."""

    status = 415
    code = "unsupported_type"


class UnreadableImageError(InvocationError):
    """No image, a broken one, or one of too many pixels."""

    status = 422
    code = "unreadable_image"


class EndpointError(InvocationError):
    """The endpoint is missing, broken, or not ours to call."""

    status = 502
    code = "endpoint_failed"


class TimedOutError(InvocationError):
    """The photo's server or the endpoint took too long."""

    status = 504
    code = "timed_out"
