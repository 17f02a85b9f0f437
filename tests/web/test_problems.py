"""What a request is told that an error of the disk broke, and what the log says of it."""

from __future__ import annotations

import errno
import logging

import pytest

from collector.errors import JournalCorrupt, JournalIOError
from collector.web.problems import of_error


@pytest.mark.parametrize(
    "error",
    [
        JournalCorrupt("events.db: database disk image is malformed"),
        JournalIOError("events.db: disk I/O error"),
        OSError(errno.EIO, "Input/output error", "events.db"),
    ],
    ids=["reported as damage", "of SQLite", "of the system"],
)
def test_a_read_that_failed_may_be_tried_again_and_is_one_line(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        found = of_error(error)
    assert (found.status, found.code, found.retry) == (503, "io_error", True)
    (record,) = caplog.records
    assert record.exc_info is None
    assert "events.db" in record.getMessage()
