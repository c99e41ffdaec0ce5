"""Whether everything else rests: work that nobody waits for asks this before it begins."""

import time
from collections.abc import Sequence

from folio.errors import Transient
from folio.log import Log
from folio.stage import Stage

PUT_OFF_S_MAX = 60.0


class Quiet:
    """True once the stages have had nothing to do for `rest_s`; now and then in any case, so nothing waits for ever."""

    def __init__(self, log: Log, *, rest_s: float, put_off_s_max: float = PUT_OFF_S_MAX) -> None:
        self.stages: Sequence[Stage] = ()
        self._log = log
        self._rest_s = rest_s
        self._put_off_s_max = put_off_s_max
        self._busy_at = self._said_yes_at = time.monotonic()

    async def __call__(self) -> bool:
        now = time.monotonic()
        if await self._busy():
            self._busy_at = now
        is_quiet = now - self._busy_at >= self._rest_s
        if is_quiet or now - self._said_yes_at >= self._put_off_s_max:
            self._said_yes_at = now
            return True
        return False

    async def _busy(self) -> bool:
        try:
            for group, topic in [(stage.name, topic) for stage in self.stages for topic in stage.sources]:
                if await self._log.lag(group, topic):
                    return True
        except Transient:  # a log that is away: nobody knows
            return True
        return False
