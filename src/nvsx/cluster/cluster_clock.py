"""How far the API server's clock is from ours, as the dates of its answers bound it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

#: Seconds that do not count: dates are cut to the second, and requests take time.
TOLERANCE = 2.0


class Skew:
    """What answers say of the other clock. An HTTP date is cut to the second, and written
    somewhere between the request and its answer: each answer gives bounds, all together the
    narrowest (RFC 9110, 6.6.1).

        sent 10:00:00.0, Date 10:00:30, received 10:00:00.4: ahead by 29.6 to 31.0 s
        sent 10:00:05.9, Date 10:00:36, received 10:00:06.1: ahead by 29.9 to 31.1 s
        together: ahead by 29.9 s at least
    """

    def __init__(self) -> None:
        self._least, self._most = float("-inf"), float("inf")

    def heard(self, date: str, sent: float, received: float) -> None:
        """An answer's `Date`; when the request was sent and the answer came (Unix seconds)."""
        try:
            said = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        least, most = said - received, said + 1.0 - sent
        if least > self._most or most < self._least:  # one of the clocks was set
            self._least, self._most = least, most
        else:
            self._least, self._most = max(least, self._least), min(most, self._most)

    @property
    def ahead(self) -> float:
        """Seconds by which the other clock is ahead at least, negative when it is behind; 0 when
        it may be right, or is off by little."""
        surely = self._least if self._least > 0 else min(self._most, 0.0)
        return round(surely, 3) if abs(surely) > TOLERANCE else 0.0
