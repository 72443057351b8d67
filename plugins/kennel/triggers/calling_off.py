"""What becomes of a wait in the triggerer when a person clears its task or marks it failed."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator

from airflow.triggers.base import BaseTrigger, TriggerEvent

# The event loop keeps no hold on its tasks.
UNDER_WAY: set[asyncio.Task[None]] = set()


class WaitingTrigger(BaseTrigger):
    """Fires once, with what `_waited` returns."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event. Calls `called_off` when a person has cleared the task or marked it failed.

        Airflow tells that from the triggerer's end by the message of the cancellation. The work is shielded, since the
        look-up of a connection (asgiref's sync_to_async) replaces a cancellation by one without a message.
        """
        work = asyncio.ensure_future(self._waited())
        try:
            event = await asyncio.shield(work)
        except asyncio.CancelledError as cancelled:
            work.cancel()
            if cancelled.args:
                self.called_off()
            raise
        yield event

    def called_off(self) -> None:
        """Nobody waits any more."""

    @abstractmethod
    async def _waited(self) -> TriggerEvent: ...


class StoppingTrigger(WaitingTrigger):
    """Stops what it waits for when its task is cleared or marked failed, by `_stop`.

    Airflow 3.3 has `on_kill` for that, but cancels a trigger once more with each of its loops, and so cuts off an
    `on_kill` that takes longer, or one that has not begun. So the stopping begins at the first cancellation, and goes
    on by itself in the triggerer.
    """

    _stopping: asyncio.Task[None] | None = None

    def called_off(self) -> None:
        """Begin to stop it, once."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
            UNDER_WAY.add(self._stopping)
            self._stopping.add_done_callback(UNDER_WAY.discard)

    async def on_kill(self) -> None:
        """Stop it; what has ended by itself is left as it is."""
        self.called_off()
        if self._stopping:
            await asyncio.shield(self._stopping)

    @abstractmethod
    async def _stop(self) -> None: ...
