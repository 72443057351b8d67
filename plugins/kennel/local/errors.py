"""How a command ends when it cannot do what was asked: one line for the person, and an exit code."""


class KennelError(Exception):
    """Something the person can put right; its message is one line that names the fix."""

    exit_code = 2


class RunFailedError(KennelError):
    """Kennel did its part and the work itself failed: a task, a job, the deployed function."""

    exit_code = 1
