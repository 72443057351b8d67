"""The hosts of one job, algo-1 and so on: each a loopback address that no other job on this machine has.

So a port that scripts agree on, such as torchrun's 7777, is another one in each job.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localaws.jobs import workspace
from localaws.jobs.live import JobError
from localaws.jobs.workspace import Workspace

_FIRST = ipaddress.IPv4Address("127.1.0.0")
_BLOCKS = 60_000  # of 256 addresses each, one for each job that runs at the same time
_PORT = 7777  # of UDP; a job holds it to keep the others off its block


@dataclass(frozen=True)
class Host:
    """One host of a job."""

    name: str
    address: str

    @property
    def seen(self) -> str:
        """What the job is told that it is called: without a mount namespace only the address leads to it."""
        return self.name if workspace.entrance() else self.address


@contextmanager
def reserved(count: int) -> Iterator[list[Host]]:
    """The hosts of a new job, its own as long as the context lasts. JobError when there are none left."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reservation:
        first = _reserve(reservation)
        yield [Host(f"algo-{number}", str(first + number)) for number in range(1, count + 1)]


def _reserve(reservation: socket.socket) -> ipaddress.IPv4Address:
    for block in range(_BLOCKS):
        address = _FIRST + 256 * block
        with contextlib.suppress(OSError):
            reservation.bind((str(address), _PORT))
            return address
    raise JobError("InternalServerError: No addresses are free for the hosts of the job")


def workspaces(reserved: Sequence[Host], directory: Callable[[str], Path]) -> list[Workspace]:
    """A workspace for each host, in the directory of its name, from which it can look up all of them."""
    addresses = {host.name: host.address for host in reserved}
    return [Workspace(directory(host.name), hosts=addresses) for host in reserved]
