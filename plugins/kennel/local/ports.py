"""Which ports are free on the loopback interface."""

import contextlib
import socket


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket() as probe:
        # as servers do it, so that a port in TIME_WAIT counts as free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose(preferred: int) -> int:
    """The preferred port, or one that the system gives when it is taken."""
    return preferred if is_free(preferred) else free(1)[0]


def free(count: int) -> list[int]:
    """So many ports that the system gives."""
    with contextlib.ExitStack() as taken:
        probes = [taken.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
