"""How long AWS's minutes of metrics, alarms, scaling and deployments last here.

`LOCALAWS_CLOCK_SPEED` (1 to 60) makes them so many times shorter than real ones.
"""

import os
import threading
import time
from collections.abc import Iterator


def minute_seconds() -> int:
    """In whole seconds, the finest period of CloudWatch. ValueError when the setting is no number from 1 to 60."""
    setting = os.environ.get("LOCALAWS_CLOCK_SPEED", "1")
    try:
        speed = float(setting)
    except ValueError:
        speed = 0
    if not 1 <= speed <= 60:
        raise ValueError(f"LOCALAWS_CLOCK_SPEED is {setting!r}; it must be a number from 1 to 60")
    return round(60 / speed)


def shortened(seconds: float) -> float:
    """The real seconds that so many of AWS's seconds last."""
    return seconds * minute_seconds() / 60


def every_minute(stop: threading.Event, late: float = 0.0) -> Iterator[float]:
    """The time at which each minute began, `late` minutes after it ended, until `stop` is set."""
    length = minute_seconds()
    end = 0.0
    while True:
        end = max(end + length, (time.time() // length + 1) * length if not end else time.time() // length * length)
        if stop.wait(max(0.0, end + late * length - time.time())):
            return
        yield end - length
