"""What aiokafka's consumers lack (read in its source, and seen, at 0.14)."""

import asyncio

from aiokafka.consumer import consumer, fetcher

from infra.kafka.header_names import take_any_name

AGAIN_SECONDS = 1.0


def mend_consumers() -> None:
    """From now on consumers of this process read any header name, and stop without a word from what they fetched."""
    take_any_name()
    consumer.Fetcher = _Fetcher


class _Fetcher(fetcher.Fetcher):  # type: ignore[misc]
    async def close(self) -> None:
        """Returns when nothing is fetched any more.

        By itself it awaits each fetch that it has cancelled. One that waits to try again, as all do while the broker is
        away, hands its CancelledError to whoever stops the consumer: a task that nobody cancelled ends without a word,
        and the connections stay open.
        """
        self._closed = True
        running = {self._fetch_task, *self._pending_tasks}
        while running:
            for task in running:
                task.cancel()
            ended, running = await asyncio.wait(running, timeout=AGAIN_SECONDS)  # the fetch task can miss one
            await asyncio.gather(*ended, return_exceptions=True)  # what they failed with is in aiokafka's log
        for waiter in self._fetch_waiters:
            self._notify(waiter)
