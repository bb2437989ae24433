"""Times of the log as timestamps, within what Python and Postgres can both hold in every time zone."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
EARLIEST_MS, LATEST_MS = (EARLIEST - EPOCH) // MILLISECOND, (LATEST - EPOCH) // MILLISECOND


def moment(ms: int) -> datetime:
    """Milliseconds since the Unix epoch as a timestamp in UTC; one beyond the calendar becomes its end."""
    return EPOCH + min(max(ms, EARLIEST_MS), LATEST_MS) * MILLISECOND
