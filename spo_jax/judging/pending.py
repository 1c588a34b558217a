"""The future of a judgement: cancelling it works until the judgement is there."""

import concurrent.futures
import threading

from spo_jax.types import Judgement


class PendingJudgement(concurrent.futures.Future[Judgement]):
    """Stays cancellable while the program runs, so `running()` is never true."""

    def __init__(self) -> None:
        super().__init__()
        self._settling = threading.Lock()
        self._is_settled = False

    def settle(self, result: Judgement | BaseException) -> None:
        """The first result counts; after a cancellation none does."""
        with self._settling:
            if self._is_settled:
                return
            self._is_settled = True
        if not self.set_running_or_notify_cancel():
            return
        if isinstance(result, BaseException):
            self.set_exception(result)
        else:
            self.set_result(result)

    def settle_cancelled(self) -> None:
        """Tells those who wait that there will be no judgement."""
        self.cancel()
        self.settle(concurrent.futures.CancelledError())
