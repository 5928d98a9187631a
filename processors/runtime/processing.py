"""One message to its end: processed, tried again for ever, or dead-lettered."""

import logging
from collections.abc import Callable
from typing import Literal

from ingest import telemetry
from processors.runtime.backoff import Backoff
from processors.runtime.dead_letter_limits import DeadLetterLimits
from processors.runtime.errors import FatalStageError
from processors.runtime.failpoints import failpoint
from schemas import metrics
from schemas.config import Config
from schemas.dead_letters import whole_letter
from schemas.protocols import (
    Clock,
    DeadLetter,
    Message,
    Outputs,
    PoisonError,
    RetryableError,
    Stage,
)

logger = logging.getLogger(__name__)

Outcome = Literal["done", "dead"]


class Processing:
    """What one worker's stage makes of its messages, and how many of them die."""

    def __init__(self, stage: Stage, outputs: Outputs, config: Config, clock: Clock) -> None:
        self._stage = stage
        self._outputs = outputs
        self._tenant = config.tenant
        self._clock = clock
        self._limits = DeadLetterLimits(
            config.runtime.dead_letter_run_limit, config.runtime.dead_letter_ratio_limit
        )

    async def complete(self, message: Message, given_up: Callable[[], bool]) -> Outcome | None:
        """Process or dead-letter, for as long as it takes; None if it is given up meanwhile.

        Raises :class:`processors.runtime.dead_letter_limits.DeadLetterLimitError` instead of
        writing one letter too many, :class:`FatalStageError` if a letter is refused, and what the
        stage raises.
        """
        backoff = Backoff(self._clock)
        poison: PoisonError | None = None
        while True:
            try:
                if poison is None:
                    dead = await self._stage.process(message) == "dead"
                    self._limits.count(dead=dead)
                    failpoint("processed")
                    if dead:  # the letters of its parts say why
                        telemetry.note(telemetry.ERROR, "parts_dead")
                    return "dead" if dead else "done"
                await self._outputs.dead_letter(self._letter(message, poison, backoff))
                failpoint("dead_lettered")
                return "dead"
            except PoisonError as error:
                if poison is not None:
                    raise FatalStageError("a dead letter was refused") from error
                self._limits.count(dead=True)
                poison = error
                telemetry.note(telemetry.ERROR, error.reason)
                continue
            except RetryableError as error:
                metrics.STAGE_MESSAGES.labels(self._stage.name, "retried").inc()
                logger.warning("%s retries a message: %s", self._stage.name, error)
            if given_up():
                return None
            await backoff.wait()

    def _letter(self, message: Message, poison: PoisonError, backoff: Backoff) -> DeadLetter:
        metrics.DEAD_LETTERS.labels(self._stage.name, poison.reason).inc()
        attempts = backoff.attempts + 1
        return whole_letter(message, self._stage.name, poison, attempts, self._tenant)
