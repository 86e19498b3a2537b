"""The socket between the two processes, with ends that behave badly."""

from __future__ import annotations

import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
import pytest

from tests.cluster.support.processes import eventually
from webhook.cluster import link
from webhook.cluster.link import (
    MAX_QUESTION,
    Answering,
    Question,
    Reply,
    ask,
)
from webhook.cluster.state import SOCKET, NamespaceState
from webhook.errors import StateUnknown

SPACE = NamespaceState(name="team", labels={"a": "b"}, annotations={"c": "d"})


@contextmanager
def answering(folder, answer, report=lambda _word, _text: None, seconds=60.0, kind=Answering):
    one = kind(folder, answer, report, seconds=seconds)
    try:
        yield one
    finally:
        one.close()
        assert eventually(lambda: not one.alive())


@contextmanager
def speaking(folder, act):
    """A controller that does as it is told with each connection."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / SOCKET))
    listener.listen(8)

    def run():
        while True:
            try:
                one, _ = listener.accept()
            except OSError:
                return
            with one:
                act(one)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        (folder / SOCKET).unlink()


def framed(body):
    return struct.pack("!i", len(body)) + body


def test_a_question_has_its_answer(tmp_path):
    asked = []

    def answer(question):
        asked.append(question)
        return Reply(namespace=SPACE)

    with answering(tmp_path, answer):
        assert ask(tmp_path, Question(namespace="team"), 60) == Reply(namespace=SPACE)
        assert (tmp_path / SOCKET).stat().st_mode & 0o777 == 0o600
    assert asked == [Question(namespace="team")]
    assert not (tmp_path / SOCKET).exists()


def test_credentials_come_whole(tmp_path):
    question = Question(credentials={"image": "r.example/x", "pull_secrets": ["a"]})
    reply = Reply(credentials={"candidates": [{"source": "Secret team/a", "password": "p"}]})
    with answering(tmp_path, lambda asked: reply if asked == question else Reply(error="no")):
        assert ask(tmp_path, question, 60) == reply


def test_many_ask_at_once(tmp_path):
    def answer(question):
        time.sleep(0.01)
        return Reply(error=question.namespace)

    with answering(tmp_path, answer), ThreadPoolExecutor(32) as pool:
        names = [f"n{number}" for number in range(200)]
        replies = pool.map(lambda name: ask(tmp_path, Question(namespace=name), 60), names)
        assert [one.error for one in replies] == names


def test_without_a_controller_it_is_unknown_at_once(tmp_path):
    begun = time.monotonic()
    with pytest.raises(StateUnknown, match="the controller cannot be asked: No such file"):
        ask(tmp_path, Question(namespace="team"), 60)
    assert time.monotonic() - begun < 30


def test_what_a_killed_controller_left_is_no_controller(tmp_path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / SOCKET))
    with pytest.raises(StateUnknown, match="the controller cannot be asked: Connection refused"):
        ask(tmp_path, Question(namespace="team"), 60)
    with answering(tmp_path, lambda _question: Reply(namespace=SPACE)):
        assert ask(tmp_path, Question(namespace="team"), 60).namespace == SPACE


def test_a_controller_that_begins_anew_between_questions_answers_the_next(tmp_path):
    for number in range(3):
        with answering(tmp_path, lambda _question, n=number: Reply(error=str(n))):
            assert ask(tmp_path, Question(namespace="team"), 60).error == str(number)


def test_a_controller_that_hangs_is_waited_for_no_longer_than_said(tmp_path):
    over = threading.Event()

    def answer(_question):
        over.wait(60)
        return Reply()

    with answering(tmp_path, answer):
        begun = time.monotonic()
        with pytest.raises(StateUnknown, match="did not answer within 1 s"):
            ask(tmp_path, Question(namespace="team"), 1)
        assert 0.9 < time.monotonic() - begun < 30
        over.set()


def test_one_that_hangs_within_its_answer_neither(tmp_path):
    over = threading.Event()

    def act(one):
        one.sendall(framed(b"x" * 100)[:50])
        over.wait(60)

    with speaking(tmp_path, act):
        begun = time.monotonic()
        with pytest.raises(StateUnknown, match="it takes too long"):
            ask(tmp_path, Question(namespace="team"), 3)  # in which the half has come
        assert time.monotonic() - begun < 30
        over.set()


def _tell(body):
    def act(one):
        one.recv(1000)
        one.sendall(body)

    return act


@pytest.mark.parametrize(
    "body, said",
    [
        (b"", "it hung up"),
        (b"\x00", "."),
        (framed(b"")[:3], "."),
        (framed(b"{}")[:5], "."),
        (framed(b""), "makes no sense"),
        (framed(b"garbage"), "makes no sense"),
        (framed(b"[]"), "makes no sense"),
        (framed(b'{"namespace": 5}'), "makes no sense"),
        (framed(b"\xff\xfe"), "makes no sense"),
        (struct.pack("!i", link.MAX_ANSWER + 1), "bad message length"),
        (struct.pack("!iQ", -1, 1 << 62), "bad message length"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "."),
    ],
)
def test_an_answer_that_is_none_is_unknown(tmp_path, body, said):
    with speaking(tmp_path, _tell(body)), pytest.raises(StateUnknown, match=said):
        ask(tmp_path, Question(namespace="team"), 60)


def test_a_question_that_is_too_long_is_not_asked(tmp_path):
    with answering(tmp_path, lambda _question: Reply()):
        fits = Question(namespace="x" * (MAX_QUESTION - 100))
        assert ask(tmp_path, fits, 60) == Reply()
        with pytest.raises(StateUnknown, match="more than 65536 bytes"):
            ask(tmp_path, Question(namespace="x" * MAX_QUESTION), 60)


def raw(folder, body, seconds=60):
    """What the controller's end says to bytes."""
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(seconds)
        one.connect(str(folder / SOCKET))
        one.sendall(body)
        said = b""
        try:
            while more := one.recv(65536):
                said += more
        except ConnectionResetError:
            pass
        return said


@pytest.mark.parametrize(
    "body",
    [framed(b"garbage"), framed(b"[]"), framed(b'{"namespace": 5}'), framed(b"\xff"), framed(b"")],
)
def test_a_question_that_makes_no_sense_is_told_so(tmp_path, body):
    with answering(tmp_path, lambda _question: Reply(namespace=SPACE)):
        said = msgspec.json.decode(raw(tmp_path, body)[4:], type=Reply)
        assert said.error
        assert ask(tmp_path, Question(namespace="team"), 60).namespace == SPACE


def test_a_question_that_is_too_long_is_not_read(tmp_path):
    with answering(tmp_path, lambda _question: Reply(namespace=SPACE)):
        assert raw(tmp_path, struct.pack("!i", MAX_QUESTION + 1) + b"x" * 1000) == b""
        assert ask(tmp_path, Question(namespace="team"), 60).namespace == SPACE


def test_those_who_connect_and_do_not_ask_are_let_go(tmp_path):
    """More than there are places for: some say nothing, some begin and do not end."""
    silent = []
    with answering(tmp_path, lambda _question: Reply(namespace=SPACE), seconds=5.0):
        for number in range(20):
            one = socket.socket(socket.AF_UNIX)
            one.connect(str(tmp_path / SOCKET))
            if number % 2:
                one.sendall(framed(b"x" * 100)[:20])
            silent.append(one)
        # Two rounds of places are over in ten seconds.
        assert ask(tmp_path, Question(namespace="team"), 25).namespace == SPACE
    for one in silent:
        one.close()


def test_an_answer_that_fails_is_told_and_the_next_one_comes(tmp_path):
    told = []

    def answer(question):
        if question.namespace == "bad":
            raise KeyError("oh")
        return Reply(namespace=SPACE)

    with answering(tmp_path, answer, lambda word, text: told.append((word, text))):
        assert ask(tmp_path, Question(namespace="bad"), 60).error == "the controller failed at it"
        assert ask(tmp_path, Question(namespace="team"), 60).namespace == SPACE
    assert told == [("link-error", "KeyError: 'oh'")]


def _credentials(namespace):
    return Question(credentials={"namespace": namespace})


class Counting(Answering):
    """Tells how many questions were taken in so far."""

    read = 0

    def _read(self, connection):
        super()._read(connection)
        self.read += 1


def test_one_namespace_does_not_keep_the_others_from_their_answers(tmp_path):
    """As a pod with a thousand images does, each of them with sixteen Secrets to be read."""
    over = threading.Event()

    def answer(question):
        if question.credentials == {"namespace": "busy"}:
            assert over.wait(60)
        return Reply(namespace=SPACE)

    with answering(tmp_path, answer, kind=Counting) as one, ThreadPoolExecutor(40) as pool:
        busy = [pool.submit(ask, tmp_path, _credentials("busy"), 60) for _ in range(40)]
        try:
            assert eventually(lambda: one.read == 40)
            assert ask(tmp_path, Question(namespace="team"), 20).namespace == SPACE
            assert ask(tmp_path, _credentials("team"), 20).namespace == SPACE
        finally:
            over.set()
        assert busy[0].result().namespace == SPACE


def test_nobody_is_looked_for_when_the_asker_has_left(tmp_path):
    asked, over = [], threading.Event()

    def answer(question):
        asked.append(question.credentials["image"])
        assert over.wait(60)
        return Reply(namespace=SPACE)

    one = Counting(tmp_path, answer, seconds=0.3)
    try:
        for number in range(8):
            question = Question(credentials={"namespace": "team", "image": number})
            with pytest.raises(StateUnknown, match="did not answer"):
                ask(tmp_path, question, 0.1)
        assert eventually(lambda: len(asked) == 4 and one.read == 8)
        time.sleep(0.3)
        over.set()
        assert not eventually(lambda: len(asked) > 4, seconds=0.5)
    finally:
        one.close()


def test_an_answer_that_cannot_be_written_is_told(tmp_path):
    told = []
    reply = Reply(credentials={"candidates": [{"password": "\ud800"}]})
    with answering(tmp_path, lambda _question: reply, lambda word, _text: told.append(word)):
        assert ask(tmp_path, _credentials("team"), 60).error == "the controller failed at it"
    assert told == ["link-error"]
