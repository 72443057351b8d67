"""How much of this machine containers may take, by two settings of the server, in its environment.

`LOCALAWS_JOB_MEMORY_MB`: what each process of a container may fill. A script that asks for more gets a MemoryError.
`LOCALAWS_JOB_THREADS`: the threads that one job's containers compute with, all together.
"""

import os


def memory_mb() -> int | None:
    """Private, writable memory (RLIMIT_DATA); None without a limit. ValueError for a wrong setting."""
    return _setting("LOCALAWS_JOB_MEMORY_MB", least=64)


def threads() -> int:
    """Without the setting, as many as there are cores for this server. ValueError for a wrong setting."""
    return _setting("LOCALAWS_JOB_THREADS", least=1) or len(os.sched_getaffinity(0))


def check() -> None:
    """ValueError when one of the settings is wrong."""
    memory_mb()
    threads()


def _setting(name: str, least: int) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name} is {text!r}; it must be a whole number of at least {least}")
    return int(text)
