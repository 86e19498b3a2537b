"""The log of the server: what happens to reviews when it cannot be written."""

from __future__ import annotations

from tests.server.judges import body, by_name, pod
from webhook.limits import Deadline
from webhook.metrics import Metrics
from webhook.review.answer import answer
from webhook.server.log import LogAndCount, json_log


class Full:
    """A stream on a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_log_that_cannot_be_written_refuses_nobody():
    recorder = LogAndCount(json_log(Full()), Metrics("test"))
    answered = answer(body(pod("app:1")), by_name, deadline=Deadline.never(), recorder=recorder)
    assert b'"allowed":true' in answered
