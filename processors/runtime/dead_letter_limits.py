"""When dead letters halt a worker instead of draining a topic into the dead-letter topic.

One bad message is data; a thousand in a row, or half of the last two thousand, is a wrong
deployment or a wrong topic, which a person must look at before the offsets move on.
"""

from collections import deque

RATIO_WINDOW_MESSAGES = 2000


class DeadLetterLimitError(Exception):
    """Too many dead letters: the worker halts."""


class DeadLetterLimits:
    """Counts messages in order of completion."""

    def __init__(self, run_limit: int, ratio_limit: float) -> None:
        self._run_limit = run_limit
        self._ratio_limit = ratio_limit
        self._run = 0
        self._dead = 0
        self._recent: deque[bool] = deque()

    def count(self, *, dead: bool) -> None:
        """Note one message, dead if nothing came of it but dead letters.

        Raises :class:`DeadLetterLimitError` at either limit.
        """
        self._run = self._run + 1 if dead else 0
        self._recent.append(dead)
        self._dead += dead
        if len(self._recent) > RATIO_WINDOW_MESSAGES:
            self._dead -= self._recent.popleft()
        if self._run >= self._run_limit:
            raise DeadLetterLimitError(f"{self._run} dead letters in a row")
        if len(self._recent) == RATIO_WINDOW_MESSAGES and (
            self._dead >= self._ratio_limit * RATIO_WINDOW_MESSAGES
        ):
            raise DeadLetterLimitError(f"{self._dead} of {RATIO_WINDOW_MESSAGES} dead-lettered")
