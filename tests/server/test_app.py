"""The HTTP face, without sockets."""

from __future__ import annotations

import dataclasses
import io
import json
import threading

import pytest

from tests.server.judges import body, by_name, pod
from webhook.errors import Busy, StateUnknown
from webhook.limits import MIB, Deadline, WouldWait
from webhook.metrics import Metrics
from webhook.review.admission import MAX_BODY
from webhook.review.answer import answer
from webhook.server.app import AT_ONCE, create_app, seconds
from webhook.server.log import LogAndCount, json_log


class Server:
    """The application with a judge, a clock that stands still, and its log."""

    def __init__(self, judge=by_name, *, ready=lambda: None, max_in_flight=4, reply=None):
        self.lines, self.deadlines = io.StringIO(), []
        metrics, log = Metrics("test"), json_log(self.lines)
        recorder = LogAndCount(log, metrics)

        def asked(sent, deadline):
            self.deadlines.append(deadline.left())
            return answer(sent, judge, deadline=deadline, recorder=recorder)

        self.client = create_app(
            reply or asked,
            metrics=metrics,
            ready=ready,
            log=log,
            clock=lambda: 1000.0,
            max_in_flight=max_in_flight,
        ).test_client()

    def post(self, sent, query="", **options):
        options = {"content_type": "application/json", **options}
        return self.client.post(f"/validate{query}", data=sent, **options)

    def log(self):
        return [json.loads(line) for line in self.lines.getvalue().splitlines()]


def test_at_once_or_not_at_all():
    server, at_once = Server(), {AT_ONCE: True}
    assert server.post(body(pod("app:1")), environ_overrides=at_once).json["response"]["allowed"]
    with pytest.raises(WouldWait):
        server.post(body(pod("short:1")), environ_overrides=at_once)
    with pytest.raises(WouldWait):
        server.client.get("/healthz", environ_overrides=at_once)
    assert [line["decision"] for line in server.log()] == ["allow"]
    assert server.post(b"{", environ_overrides=at_once).status_code == 400


def test_a_review_is_answered_and_logged():
    server = Server()
    response = server.post(body(pod("bad:1")))
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.json["response"]["allowed"] is False
    [line] = server.log()
    assert line["event"] == "review"
    assert (line["uid"], line["namespace"]) == (response.json["response"]["uid"], "prod")
    assert (line["kind"], line["name"], line["allowed"]) == ("Pod", "web", False)
    assert (line["findings"], line["decision"], line["ms"]) == (1, "deny", 0.0)


def test_a_bug_is_logged_whole_and_told_in_short():
    server = Server()
    response = server.post(body(pod("bug:1")))
    assert response.status_code == 200
    assert response.json["response"]["status"]["code"] == 500
    assert "s3cret" not in response.text
    [line] = server.log()
    assert line["level"] == "error"
    assert "ZeroDivisionError: s3cret" in line["exception"]


def test_a_bug_outside_of_a_review_shows_no_trace():
    def broken(sent, deadline):
        raise ZeroDivisionError("s3cret")

    server = Server(reply=broken)
    response = server.post(body(pod()))
    assert response.status_code == 500
    assert response.text == "internal error; the log says more\n"
    assert "ZeroDivisionError: s3cret" in server.log()[0]["exception"]


@pytest.mark.parametrize(
    ("sent", "options", "status", "told"),
    [
        pytest.param(b"{}", {}, 400, "AdmissionReview of admission.k8s.io/v1", id="no review"),
        pytest.param(b"{", {}, 400, "truncated", id="cut off"),
        pytest.param(b"{}", {"content_type": "text/plain"}, 415, "application/json", id="type"),
        pytest.param(b"{}", {"content_type": None}, 415, "application/json", id="no type"),
        pytest.param(b" " * (MAX_BODY + 1), {}, 413, "longer than", id="a byte too long"),
        pytest.param(b" " * (MAX_BODY + 2), {}, 413, "exceeds", id="longer"),
    ],
)
def test_what_is_refused_is_told_in_a_line(sent, options, status, told):
    server = Server()
    response = server.post(sent, **options)
    assert response.status_code == status
    assert told in response.text
    assert "Traceback" not in response.text
    assert len(response.text) < 400
    [line] = server.log()
    assert (line["event"], line["status"]) == ("request refused", status)


def test_a_charset_beside_the_content_type_is_fine():
    response = Server().post(body(pod()), content_type="application/json; charset=utf-8")
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("query", "left"),
    [
        pytest.param("", 9.0, id="the default"),
        pytest.param("?timeout=10s", 9.0, id="a second less"),
        pytest.param("?timeout=3s", 2.0, id="short"),
        pytest.param("?timeout=1s", 0.5, id="half at least"),
        pytest.param("?timeout=1h", 29.0, id="as long as Kubernetes waits"),
    ],
)
def test_the_deadline_is_before_the_timeout(query, left):
    server = Server()
    server.post(body(pod()), query)
    assert server.deadlines == [left]


@pytest.mark.parametrize("timeout", ["", "10", "0s", "-5s", "10s ", "abc", "1e3s", "9" * 400 + "s"])
def test_a_timeout_that_is_none(timeout):
    server = Server()
    response = server.post(body(pod()), f"?timeout={timeout}")
    assert response.status_code == 400
    assert "duration such as 10s" in response.text


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("10s", 10), ("1m30s", 90), ("1.5s", 1.5), ("500ms", 0.5), (".5s", 0.5), ("1h", 3600)],
)
def test_go_durations(duration, expected):
    assert seconds(duration) == pytest.approx(expected)


def test_a_judge_that_is_busy_sends_the_client_away_for_a_second():
    def busy(workload, deadline):
        raise Busy("4 reviews wait for images")

    response = Server(busy).post(body(pod()))
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert "4 reviews wait" in response.text


def test_reviews_past_the_bound_are_sent_away_and_probes_are_not():
    entered, leave = threading.Event(), threading.Event()

    def slow(workload, deadline):
        entered.set()
        assert leave.wait(10)
        return by_name(workload, deadline)

    server = Server(slow, max_in_flight=1)
    answers = []
    first = threading.Thread(target=lambda: answers.append(server.post(body(pod()))))
    first.start()
    assert entered.wait(10)
    try:
        assert server.post(body(pod())).status_code == 503
        assert server.client.get("/healthz").status_code == 200
        assert "slimgate_reviews_in_flight 1.0" in server.client.get("/metrics").text
    finally:
        leave.set()
        first.join()
    assert answers[0].status_code == 200
    assert server.post(body(pod())).status_code == 200
    assert "slimgate_reviews_in_flight 0.0" in server.client.get("/metrics").text


def test_probes_and_metrics():
    server = Server()
    assert server.client.get("/healthz").text == "ok\n"
    assert server.client.get("/readyz").status_code == 200
    unready = Server(ready=lambda: "policies are not read yet").client.get("/readyz")
    assert (unready.status_code, unready.text) == (503, "policies are not read yet\n")
    assert server.client.get("/metrics").content_type.startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/validate", 405), ("POST", "/", 404), ("GET", "/static/x", 404)],
)
def test_other_paths(method, path, status):
    assert Server().client.open(path, method=method).status_code == status


def test_the_clock_is_the_one_handed_in():
    seen = []
    server = Server(lambda workload, deadline: seen.append(deadline) or by_name(workload, deadline))
    server.post(body(pod()))
    assert isinstance(seen[0], Deadline)
    assert seen[0].at == 1009.0


def test_large_bodies_are_bounded_before_they_are_read():
    entered, leave = threading.Semaphore(0), threading.Event()

    def slow(workload, deadline):
        entered.release()
        assert leave.wait(10)
        return by_name(workload, deadline)

    server = Server(slow, max_in_flight=8)
    large = body(pod(), padding="x" * MIB)
    threads = [threading.Thread(target=server.post, args=(large,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert entered.acquire(timeout=10)
    try:
        response = server.post(large)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert "4 large reviews" in response.text
        small = threading.Thread(target=server.post, args=(body(pod()),))
        small.start()
        assert entered.acquire(timeout=10)
    finally:
        leave.set()
    for thread in (*threads, small):
        thread.join()
    assert server.post(large).status_code == 200


def test_a_review_under_break_glass_is_a_line_to_look_at():
    server = Server(lambda w, d: dataclasses.replace(by_name(w, d), break_glass="namespace"))
    assert server.post(body(pod("bad:1"))).json["response"]["allowed"]
    [line] = server.log()
    assert (line["level"], line["break_glass"]) == ("warning", "namespace")
    exposed = server.client.get("/metrics").text
    assert 'slimgate_break_glass_reviews_total{by="namespace"} 1.0' in exposed
    assert 'slimgate_break_glass_reviews_total{by="release"} 0.0' in exposed


def test_a_cluster_that_is_not_known_is_no_bug():
    def unknown(workload, deadline):
        raise StateUnknown("no word since 6m")

    server = Server(unknown)
    assert server.post(body(pod())).json["response"]["status"]["code"] == 500
    [line] = server.log()
    assert (line["level"], line["error"]) == ("warning", "no word since 6m")
    assert "exception" not in line
