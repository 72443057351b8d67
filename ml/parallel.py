"""Data-parallel training: what one process of several, as torchrun starts them, has to do with the others.

torchrun starts one process for each GPU, or one on each host without GPUs, and tells them RANK, WORLD_SIZE, LOCAL_RANK,
MASTER_ADDR and MASTER_PORT. Without these variables a process is alone, and pays for nothing here.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from job import JobError

# For one exchange with the others. The longest wait is for the slowest to read the vectors.
PATIENCE = timedelta(minutes=5)


@dataclass(frozen=True)
class Group:
    """This process among those that train the same model: number `rank` of `size`, computing on `device`."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that prints the epochs and saves the model."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This process's rows of a batch (n, ...): every `size`-th, so none when there are too few for all."""
        return rows[self.rank :: self.size]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over all processes; they end up with the same bits."""
        if self.size > 1:
            together = torch.cat([tensor.flatten() for tensor in tensors])
            torch.distributed.all_reduce(together)
            totals = torch.split(together, [tensor.numel() for tensor in tensors])
            for tensor, total in zip(tensors, totals, strict=True):
                tensor.copy_(total.view_as(tensor))


@contextmanager
def joined() -> Iterator[Group]:
    """The group of processes, for as long as the training lasts.

    When one fails the others do too, at their next exchange, and each with the reason of the one that failed first.
    Raises JobError.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    group = Group(rank, size, device)
    if size == 1:
        yield group
        return
    if "SM_NETWORK_INTERFACE_NAME" in os.environ:  # else gloo takes the address of the host's name, not the network's
        os.environ.setdefault("GLOO_SOCKET_IFNAME", os.environ["SM_NETWORK_INTERFACE_NAME"])
    # nccl would end the process instead of raising what can be told.
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
    store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    try:
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE
        )
        torch.distributed.barrier()  # one that failed while another still connects to it would make that one abort
        yield group
    except Exception as error:
        _tell(store, error)
        raise
    finally:
        if torch.distributed.is_initialized():  # else gloo may abort the process as it ends
            torch.distributed.destroy_process_group()


def _tell(store: Any, error: Exception) -> None:
    """Tells the others why this process fails, or raises JobError with why another failed before."""
    host = os.environ.get("SM_CURRENT_HOST") or socket.gethostname()
    mine = f"{host}: {error if isinstance(error, JobError) else f'{type(error).__name__}: {error}'}"
    try:
        # Sets it only where nothing stands yet, and returns what then stands there.
        first = store.compare_set("kennel/failure", "", mine).decode()
    except RuntimeError:  # the store is gone with the process that kept it
        raise JobError(f"another process of the training has ended, its log says why; here: {mine}") from error
    if first != mine:
        raise JobError(first) from error
