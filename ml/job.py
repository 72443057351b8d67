"""What the job scripts share: where their files are, how their arguments are read, how they end."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
FAILURE = BASE / "output/failure"  # a training job's FailureReason
MESSAGE = BASE / "output/message"  # a processing job's ExitMessage

WORDS = {int: "a whole number", float: "a number"}


class JobError(Exception):
    """A failure whose cause the user can mend; the message is one line that says how."""


class Arguments(Protocol):
    """A dataclass with a default for every field, each an argument: `views: int = 4` is `--views 4`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def problems(self) -> Iterator[str]:
        """One sentence for each value that is out of range, quoting the argument."""
        ...


A = TypeVar("A", bound=Arguments)


def parse(kind: type[A], argv: Sequence[str]) -> A:
    """The arguments as a `kind`. Raises JobError with all that is wrong with them, not just the first."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for field in fields(kind):
        parser.add_argument(f"--{field.name}", default=field.default, nargs="?", const="")
    texts, unknown = parser.parse_known_args(list(argv))
    problems = [f"unknown: {' '.join(unknown)}"] if unknown else []
    values: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    for name, default in values.items():
        text = getattr(texts, name)
        try:
            values[name] = type(default)(text)
        except ValueError:
            problems.append(f"--{name} must be {WORDS[type(default)]}, not {text!r}")
    arguments = kind(**values)
    problems += arguments.problems()
    if problems:
        raise JobError("; ".join(problems))
    return arguments


def run(main: Callable[[list[str]], None], reason: Path) -> None:
    """Runs a script. A failure ends it with exit code 1 and one line, on stderr and in the file `reason`."""
    try:
        main(sys.argv[1:])
    except JobError as error:
        _fail(str(error), reason)
    except Exception as error:
        traceback.print_exc()
        _fail(f"{type(error).__name__}: {error}", reason)


def _fail(why: str, reason: Path) -> None:
    line = " ".join(why.split())
    reason.parent.mkdir(parents=True, exist_ok=True)
    reason.write_text(line[:1024])  # SageMaker keeps no more
    sys.exit(line)
