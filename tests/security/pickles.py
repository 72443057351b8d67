"""Code that hides in a model file."""

from collections.abc import Callable
from pathlib import Path


class Code:
    """Unpickling it makes a directory."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.mkdir, (self.trace,)
