"""Kubelet credential providers: real programs, good and bad."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import yaml

from webhook.errors import UsageError
from webhook.gather.credentials import Candidate, Credentials
from webhook.image.reference import Reference
from webhook.registry.keychains import Trouble
from webhook.registry.providers import read_providers

API = "credentialprovider.kubelet.k8s.io/v1"
APP = Reference.parse("123.registry.example/team/app:1")
OTHER = Reference.parse("123.registry.example/team/other:1")
FAR = Reference.parse("456.registry.example/team/app:1")


def entry(**changes):
    return {
        "name": "provider",
        "matchImages": ["*.registry.example"],
        "defaultCacheDuration": "10m",
        "apiVersion": API,
        **changes,
    }


def response(**changes):
    return {
        "kind": "CredentialProviderResponse",
        "apiVersion": API,
        "cacheKeyType": "Registry",
        "auth": {"*.registry.example": {"username": "u", "password": "s3cret"}},
        **changes,
    }


@pytest.fixture
def provided(tmp_path):
    """A provider whose program runs ``code`` with ``request``; and how often it ran."""

    def make(code, *, clock=None, **changes):
        program = tmp_path / "provider"
        program.write_text(
            f"#!{sys.executable}\nimport json, os, sys, time\n"
            "request = json.load(sys.stdin)\n"
            f"open({str(tmp_path / 'runs')!r}, 'a').write(json.dumps(request) + '\\n')\n{code}\n"
        )
        program.chmod(0o755)
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [entry(**changes)],
        }
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        (one,) = read_providers(tmp_path / "config.yaml", tmp_path, {"PATH": "/usr/bin:/bin"})
        return one

    return make


@pytest.fixture
def runs(tmp_path):
    def lines():
        path = tmp_path / "runs"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return lines


def says(document):
    return f"print(json.dumps({document!r}))"


FOUND = [
    Candidate(
        source="credential provider provider",
        credentials=Credentials(username="u", password="s3cret"),
    )
]


def test_what_the_program_says(provided, runs):
    assert list(provided(says(response())).candidates(APP)) == FOUND
    assert runs() == [{"apiVersion": API, "kind": "CredentialProviderRequest", "image": APP.name}]


def test_it_is_not_run_for_other_images(provided, runs):
    one = provided(says(response()))
    assert list(one.candidates(Reference.parse("registry.other/app"))) == []
    assert runs() == []


def test_what_it_says_of_other_registries_is_not_used(provided):
    said = response(auth={"456.registry.example": {"username": "u", "password": "p"}})
    assert list(provided(says(said)).candidates(APP)) == []


@pytest.mark.parametrize(("kind", "times"), [("Image", 3), ("Registry", 2), ("Global", 1)])
def test_answers_are_kept_by_what_they_are_for(provided, runs, kind, times):
    one = provided(says(response(cacheKeyType=kind)))
    for reference in (APP, OTHER, FAR, APP):
        assert list(one.candidates(reference)) == FOUND
    assert len(runs()) == times


@pytest.mark.parametrize(
    ("said", "default", "kept"),
    [("0s", "10m", 0), (None, "10m", 600), (None, "0s", 0), ("1h", "10m", 3600)],
)
def test_for_as_long_as_they_say(provided, runs, said, default, kept):
    one = provided(
        says(response(**({"cacheDuration": said} if said else {}))), defaultCacheDuration=default
    )
    now = [0.0]
    one = replace(one, clock=lambda: now[0])
    list(one.candidates(APP))
    now[0] = max(0.0, kept - 1)
    list(one.candidates(APP))
    assert len(runs()) == (1 if kept else 2)
    now[0] = kept + 1.0
    list(one.candidates(APP))
    assert len(runs()) == (2 if kept else 3)


def test_a_burst_runs_it_once(provided, runs):
    one = provided("time.sleep(0.2)\n" + says(response()))
    with ThreadPoolExecutor(8) as burst:
        assert all(list(burst.map(lambda _: list(one.candidates(APP)) == FOUND, range(8))))
    assert len(runs()) == 1


def test_arguments_and_environment(provided):
    code = (
        "found = {'*.registry.example': "
        "{'username': sys.argv[1] + os.environ['REGION'], 'password': os.environ['PATH']}}\n"
        f"document = {response()!r}\ndocument['auth'] = found\nprint(json.dumps(document))"
    )
    one = provided(code, args=["x"], env=[{"name": "REGION", "value": "eu"}])
    (found,) = one.candidates(APP)
    assert found.credentials == Credentials(username="xeu", password="/usr/bin:/bin")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit(3)", "exit status 3"),
        ("print('s3cret')", "not what the protocol says"),
        ("print('[1]')", "not what the protocol says"),
        ("print('[' * 20000)", "not what the protocol says"),
        (says(response(apiVersion=API + "beta1")), "not what the protocol says"),
        (says(response(kind="Secret")), "not what the protocol says"),
        (says(response(cacheKeyType="")), "not what the protocol says"),
        (says(response(cacheDuration="s3cret")), "not what the protocol says"),
        (says(response(auth=["s3cret"])), "not what the protocol says"),
        (says(response(auth={"a": "s3cret"})), "not what the protocol says"),
        (says(response(auth={"a": {"username": 5}})), "not what the protocol says"),
        (says(response(auth={str(n): {} for n in range(1001)})), "not what the protocol says"),
        ("print('x' * 100000)", "took too long or said too much"),
        ("time.sleep(60)", "took too long or said too much"),
    ],
)
def test_a_bad_program_is_trouble_and_not_told_in_its_words(provided, code, said):
    one = provided(code)
    if "sleep" in code:
        one = replace(one, patience=2.0)
    (trouble,) = one.candidates(APP)
    assert isinstance(trouble, Trouble)
    assert said in trouble.text
    assert trouble.text.startswith("credential provider provider: ")
    assert "s3cret" not in trouble.text


def test_those_who_wait_for_one_that_hangs_do_not_wait_for_each_other(provided):
    one = replace(provided("time.sleep(60)"), patience=0.5)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(list, one.candidates(APP)) for _ in range(8)]
        said = [trouble.text for future in asked for trouble in future.result()]
    assert len(said) == 8
    waited = ["others wait for it already, and it takes too long" in text for text in said]
    assert all(one or "took too long" in text for one, text in zip(waited, said, strict=True))
    assert sum(waited) >= 4  # who waits for each other runs it in turn


def test_a_program_that_hangs_holds_up_nobody_else(provided, tmp_path):
    end = tmp_path / "end"
    one = provided(f"while not os.path.exists({str(end)!r}): time.sleep(0.05)")
    held = threading.Thread(target=lambda: list(one.candidates(APP)))
    held.start()
    assert list(one.candidates(Reference.parse("registry.other/app"))) == []
    assert held.is_alive()
    end.touch()
    held.join()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "no-such"}, "there is no program"),
        ({"name": "a/b"}, "name must be"),
        ({"name": ".."}, "name must be"),
        ({"name": 5}, "name must be"),
        ({"matchImages": []}, "matchImages must be"),
        ({"matchImages": "x"}, "matchImages must be"),
        ({"apiVersion": "v1"}, "apiVersion must be"),
        ({"defaultCacheDuration": None}, "defaultCacheDuration"),
        ({"defaultCacheDuration": "-1s"}, "defaultCacheDuration"),
        ({"args": [1]}, "args must be"),
        ({"env": [{"name": "x"}]}, "env must be"),
        ({"env": [{"name": "x", "value": 1}]}, "env must be"),
        ({"env": 5}, "env must be"),
        ({"tokenAttributes": {"cacheType": "Token"}}, "tokenAttributes are not supported"),
        ({"matchImage": ["x"]}, "may have only"),
    ],
)
def test_what_no_kubelet_would_start_with(provided, changes, said):
    with pytest.raises(UsageError, match=said):
        provided("", **changes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no YAML"),
        ("[]", "must be a CredentialProviderConfig"),
        ("kind: CredentialProviderConfig", "apiVersion must be"),
        ("kind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1", "name one"),
        (
            "kind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1\nproviders: [1]",
            "may have only",
        ),
        ("#" * ((1 << 20) + 1), "must be a CredentialProviderConfig"),
    ],
)
def test_files_that_are_none(tmp_path, text, said):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_providers(tmp_path / "config.yaml", tmp_path, {})


def test_two_of_one_name(provided, tmp_path):
    provided("")
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    config["providers"] *= 2
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="same name"):
        read_providers(tmp_path / "config.yaml", tmp_path, {})
