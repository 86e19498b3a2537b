"""The log of the server: what happens to reviews when it cannot be written."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path

from tests.server.judges import body, by_name, pod
from webhook.limits import Deadline
from webhook.metrics import Metrics
from webhook.review.answer import answer
from webhook.server.log import LogAndCount, ShelfLog, json_log


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


def test_a_line_of_whatever_is_told():
    lines = io.StringIO()
    log = json_log(lines)
    log.info("one", where=Path("/x"), path="/etc/\udcff", count=2)
    log.error("two", exc_info=ZeroDivisionError("why"))
    log.debug("never")
    one, two = (json.loads(line) for line in lines.getvalue().splitlines())
    assert (one["event"], one["level"], one["count"]) == ("one", "info", 2)
    assert one["path"] == "/etc/\udcff"
    assert "/x" in one["where"]
    assert datetime.fromisoformat(one["timestamp"]).tzinfo is not None
    assert (two["event"], two["level"]) == ("two", "error")
    assert two["exception"].endswith("ZeroDivisionError: why")


def test_a_trouble_of_the_store_is_counted_each_time_and_told_once_a_minute():
    now, lines, metrics = [0.0], io.StringIO(), Metrics("test")
    log = ShelfLog(json_log(lines), metrics, lambda: now[0])
    for now[0] in (0.0, 1.0, 59.0, 60.0):
        log.trouble("full", "/facts.sqlite: disk I/O error")
    log.trouble("corrupt", "/facts.sqlite: malformed")
    log.looked("layers", "hit")
    log.looked("layers", "hit")

    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [one["trouble"] for one in told] == ["full", "full", "corrupt"]
    assert told[0]["detail"] == "/facts.sqlite: disk I/O error"
    assert told[0]["event"] == "store"
    shown = metrics.exposition().decode()
    assert 'slimgate_store_troubles_total{trouble="full"} 4.0' in shown
    assert 'slimgate_store_troubles_total{trouble="unreachable"} 0.0' in shown
    assert 'slimgate_store_lookups_total{facts="layers",outcome="hit"} 2.0' in shown
