"""One invocation of the function as the whole of a process's work, on an internet that belongs to the attacker.

`python caller.py` with a JSON object on standard input:

    event     what the function is invoked with; `good` is one that it answers, asked first so that all is imported
    names     for each name that resolves, what the attacker's name server answers at one look-up after another, the
              last one ever after; null is no answer at all
    routes    for each public address that leads to a server, its port on loopback and the seconds that connecting takes
    runtime   the port of SageMaker's runtime

The last line printed is the outcome: the function's answer, the seconds, the growth of the peak of resident memory in
KiB, and all that was looked up and connected to.
"""

import json
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from invoke_endpoint.handler import lambda_handler

WORLD: dict[str, Any] = json.load(sys.stdin)
looked_up: list[str] = []
connected: list[str] = []
real_look_up, real_connect = socket.getaddrinfo, socket.socket.connect


def look_up(host: str, port: int, *_: object, **__: object) -> list[Any]:
    """Numbers, in whatever way they are written, mean to the function what they mean to this machine."""
    if host not in WORLD["names"]:
        return real_look_up(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    answers = WORLD["names"][host]
    addresses = answers[min(looked_up.count(host), len(answers) - 1)]
    looked_up.append(host)
    if addresses is None:
        threading.Event().wait()
    families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
    return [(family, 1, 6, "", (address, port)) for family, address in zip(families, addresses, strict=True)]


def connect(self: socket.socket, address: Any) -> None:
    """To the attacker's server, or the runtime; anywhere else nothing listens."""
    if address == ("127.0.0.1", WORLD["runtime"]):
        real_connect(self, address)
        return
    connected.append(address[0])
    if address[0] not in WORLD["routes"] or address[1] != 443:
        raise ConnectionRefusedError
    port, seconds = WORLD["routes"][address[0]]
    time.sleep(seconds)
    real_connect(self, ("127.0.0.1", port))


def peak_kb() -> int:
    """Not from getrusage: its figure starts with that of the process that started this one."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def main() -> None:
    """Ask the good question, then the hostile one."""
    patched: Any = socket
    patched.getaddrinfo, patched.socket.connect = look_up, connect
    good = lambda_handler(WORLD["good"], None)
    looked_up.clear()
    connected.clear()
    before, began = peak_kb(), time.monotonic()
    answer = lambda_handler(WORLD["event"], None)
    outcome = {"seconds": time.monotonic() - began, "growth_kb": peak_kb() - before, "answer": answer}
    print(json.dumps(outcome | {"good": good["statusCode"], "looked_up": looked_up, "connected": connected}))


if __name__ == "__main__":
    main()
