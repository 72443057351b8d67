"""What makes up for all hosts of all jobs being one machine. Every Python in a container imports it as it starts.

A PyTorch store listens on its port at every address of its machine, so of two jobs that both take 7777, as torchrun on
SageMaker does, the second would fail. Here it listens at its own host's address only (see jobs/hosts.py).

Workers of torchrun are in sessions of their own, where a signal to the container's process group misses them. Here they
end with the torchrun that started them.
"""

import os
import signal
import socket
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1


class _Finder:
    """Is asked for each module before it is imported; finds none."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "torch.distributed.rendezvous":  # the first user of the store
            _listen_at_own_address()


def _listen_at_own_address() -> None:
    from torch._C._distributed_c10d import TCPStore

    create = TCPStore.__init__

    def create_at_own_address(
        self: Any, host_name: str, port: int, size: int | None = None, master: bool = False, *more: Any, **named: Any
    ) -> None:
        master = named.pop("is_master", master)
        if master and (listener := _listener(host_name, port)):
            named["master_listen_fd"] = listener.detach()
        create(self, host_name, port, named.pop("world_size", size), master, *more, **named)

    TCPStore.__init__ = create_at_own_address  # type: ignore[assignment, method-assign]


def _listener(host_name: str, port: int) -> socket.socket | None:
    """A socket there, if that is one of the job's hosts. OSError when something in the job has the port already."""
    address = socket.gethostbyname(host_name)
    if port and address.startswith("127.") and address != "127.0.0.1":
        return socket.create_server((address, port), backlog=socket.SOMAXCONN)
    return None


def _end_with_torchrun() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


sys.meta_path.insert(0, _Finder)
if "TORCHELASTIC_RUN_ID" in os.environ:
    _end_with_torchrun()
