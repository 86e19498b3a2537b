"""``slimgate advise``: what an image runs, what would carry it, what could go."""

from __future__ import annotations

import pytest

from tests.support import forge
from tests.support.samples import dynamic, elf, program
from webhook.report.safe import clean

NODE = forge.file("usr/local/bin/node", dynamic(), mode=0o755)
GO = forge.file("server", elf(b"\xff Go buildinf:\x08\x02"), mode=0o755)
ARGS = ["-listen", ":8080"]


@pytest.fixture
def advice(slimgate, layout):
    """The JSON of an image."""

    def of(image):
        ran = slimgate("advise", layout(image), "-o", "json")
        assert ran.code == 0, ran.err
        return ran.json

    return of


def stages(dockerfile):
    """Each stage's lines by what it is FROM, comments left out."""
    found, name = {}, ""
    for line in dockerfile.splitlines():
        if line.startswith("FROM "):
            name = line.removeprefix("FROM ")
            found[name] = []
        elif line and not line.startswith("#"):
            found[name].append(line)
    return found


def test_the_go_example_of_a_guide(advice):
    """One stage on golang becomes two: the compiler stays behind."""
    source = [
        forge.file("usr/local/go/bin/go", b"x" * 9000, mode=0o755),
        forge.file("usr/local/go/pkg/tool/compile", b"x" * 90_000, mode=0o755),
        forge.file("root/.cache/go-build/00/a", b"x" * 5000),
        GO,
    ]
    told = advice(forge.image([source], entrypoint=["/server"], cmd=ARGS))
    assert told["application"] == {
        "kind": "static",
        "about": "a Go program, linked statically",
        "command": ["/server", *ARGS],
        "program": "/server",
        "origin": "go",
    }
    assert told["base"]["image"] == "gcr.io/distroless/static-debian13"
    assert told["savings"] == [
        {"path": "/usr/local/go", "what": "compilers", "bytes": 99_000, "files": 2},
        {"path": "/root/.cache", "what": "caches of tools", "bytes": 5000, "files": 1},
    ]
    build, debug, final = stages(told["dockerfile"]).items()
    assert build[0] == "golang:1 AS build"
    assert any("CGO_ENABLED=0 go build" in line for line in build[1])
    assert debug[0] == "gcr.io/distroless/static-debian13:debug-nonroot AS debug"
    assert final == (
        "gcr.io/distroless/static-debian13:nonroot",
        [
            "COPY --from=build /out/app /server",
            "USER 65532",
            'ENTRYPOINT ["/server", "-listen", ":8080"]',
        ],
    )
    assert debug[1] == final[1]


def test_the_node_example_of_a_guide_gets_the_user_that_it_forgets(advice):
    told = advice(
        forge.image(
            [[NODE, forge.file("app/server.js", b"")]],
            cmd=["node", "server.js"],
            env=["PATH=/usr/local/bin:/bin", "NODE_VERSION=24.11.0", "API_TOKEN=secret"],
            config={"config": {"WorkingDir": "/app", "Cmd": ["node", "server.js"],
                               "Env": ["PATH=/usr/local/bin:/bin", "NODE_VERSION=24.11.0",
                                       "API_TOKEN=secret"]}},
        )
    )  # fmt: skip
    build, _, final = stages(told["dockerfile"]).items()
    assert build[0] == "node:24 AS build"
    assert "RUN npm ci --omit=dev" in build[1]
    assert final == (
        "gcr.io/distroless/nodejs24-debian13:nonroot",
        ["WORKDIR /app", "COPY --from=build /app /app", "USER 65532", 'CMD ["server.js"]'],
    )
    assert any("runs as root" in note for note in told["notes"])
    assert "its variables are not in the sketch: API_TOKEN" in told["notes"]
    assert "secret" not in str(told)


@pytest.mark.parametrize(
    ("files", "config", "base", "run"),
    [
        pytest.param(
            [forge.file("usr/bin/python3", dynamic(), mode=0o755)],
            {"cmd": ["python3", "/srv/app.py"]},
            "python3-debian13",
            ["ENV PYTHONPATH=/srv/packages", "WORKDIR /srv", 'CMD ["/srv/app.py"]'],
            id="python",
        ),
        pytest.param(
            [forge.file("opt/java/bin/java", dynamic(), mode=0o755)],
            {
                "cmd": ["java", "-Xmx1g", "-jar", "/srv/app.jar", "serve"],
                "env": ["PATH=/opt/java/bin", "JAVA_VERSION=jdk-25.0.1+8"],
            },
            "java25-debian13",
            [
                "COPY --from=build /out/app.jar /srv/app.jar",
                'ENTRYPOINT ["/usr/bin/java", "-Xmx1g", "-jar", "/srv/app.jar", "serve"]',
            ],
            id="java",
        ),
        pytest.param(
            [forge.file("app", dynamic(), mode=0o755)],
            {"entrypoint": ["/app"]},
            "cc-debian13",
            ['ENTRYPOINT ["/app"]'],
            id="glibc",
        ),
        pytest.param(
            [forge.file("app", dynamic(b"\xff Go buildinf:"), mode=0o755)],
            {"entrypoint": ["/app"]},
            "base-debian13",
            ['ENTRYPOINT ["/app"]'],
            id="cgo",
        ),
    ],
)
def test_bases(advice, files, config, base, run):
    told = advice(forge.image([files], **config))
    *_, (name, lines) = stages(told["dockerfile"]).items()
    assert name == f"gcr.io/distroless/{base}:nonroot"
    assert set(run) <= set(lines), lines
    assert "USER 65532" in lines


@pytest.mark.parametrize(
    ("files", "config", "why"),
    [
        pytest.param([], {"cmd": ["/gone"]}, "is not in it", id="no program"),
        pytest.param(
            [forge.file("usr/bin/perl", dynamic(), mode=0o755)],
            {"cmd": ["perl", "a.pl"]},
            "for perl",
            id="no base",
        ),
        pytest.param(
            [program("app")], {"cmd": ["sh", "-c", "/app && /app"]}, "statically", id="a shell's"
        ),
        pytest.param(
            [
                forge.file("usr/bin/python3", dynamic(), mode=0o755),
                forge.file("usr/local/bin/gunicorn", b"#!/usr/bin/python3\n", mode=0o755),
            ],
            {"cmd": ["gunicorn", "app:app"]}, "name the module or file", id="a package's script",
        ),
        pytest.param([program("a b")], {"cmd": ["/a b"]}, "statically", id="a path with a blank"),
        pytest.param([program("app")], {"cmd": ["/app", "x" * 500]}, "statically", id="too long"),
    ],
)  # fmt: skip
def test_where_there_is_no_sketch_it_says_so(slimgate, layout, files, config, why):
    name = layout(forge.image([files], **config))
    assert why in slimgate("advise", name).out
    ran = slimgate("advise", name, "-o", "dockerfile")
    assert (ran.code, ran.out) == (1, "")
    assert "no Dockerfile: " in ran.err


def test_a_script_that_runs_first_is_told_of(advice):
    told = advice(forge.image([[GO]], entrypoint=["/app/entrypoint.sh"], cmd=["/server"]))
    assert "/app/entrypoint.sh runs first: what it does is not in the sketch" in told["notes"]


def test_npm_start_is_told_of(advice):
    npm = forge.file("usr/local/bin/npm", b"#!/usr/bin/env node\n", mode=0o755)
    env = forge.file("usr/bin/env", dynamic(), mode=0o755)
    told = advice(forge.image([[NODE, npm, env]], cmd=["npm", "start"]))
    assert "distroless has no npm: name the file that it starts (see package.json)" in told["notes"]
    assert 'CMD ["index.js"]' in told["dockerfile"]


def test_what_an_image_says_stays_within_its_word(slimgate, layout):
    """No argument ends a line of the Dockerfile, or of the page."""
    evil = 'a"]\nUSER 0\nRUN evil \\'
    name = layout(forge.image([[program("app")]], entrypoint=["/app", evil, "\u2028\x1b[2J"]))
    dockerfile = slimgate("advise", name, "-o", "dockerfile").out
    assert "\nUSER 0" not in dockerfile
    assert "\nRUN evil" not in dockerfile
    assert dockerfile.isascii()
    page = slimgate("advise", name).out
    assert all(clean(line) == line for line in page.splitlines())


def test_savings_are_of_the_merged_image_and_of_what_is_hidden(advice):
    below = [
        forge.file("usr/share/doc/a/copyright", b"x" * 6000),
        forge.file("usr/share/doc/b/copyright", b"x" * 5000),
        forge.file("usr/lib/libx.a", b"x" * 8000),
        forge.file("opt/big", b"x" * 70_000),
        forge.file("usr/bin/apt-get", elf(b"x" * 9000), mode=0o755),
    ]
    above = [forge.whiteout("opt/big"), forge.whiteout("usr/share/doc/b"), GO]
    told = advice(forge.image([below, above], entrypoint=["/server"]))
    apt = len(elf(b"x" * 9000))
    assert [(one["path"], one["what"], one["bytes"]) for one in told["savings"]] == [
        (None, "in earlier layers, overwritten or removed by later ones", 75_000),
        ("/usr/bin/apt-get", "a package manager (apt-get)", apt),
        ("/usr/lib", "static libraries", 8000),
        ("/usr/share/doc", "documentation", 6000),
    ]


def test_the_page(slimgate, layout, snapshot):
    files = [NODE, forge.file("app/.git/objects/pack", b"x" * 50_000)]
    image = forge.image([files], cmd=["/bin/sh", "-c", "node /app/server.js"])
    assert slimgate("advise", layout(image)).out == snapshot


def test_what_cannot_be_read(slimgate):
    ran = slimgate("advise", "oci:nowhere")
    assert ran.code == 2
    assert "nowhere" in ran.err


def test_a_refusal_points_at_it(slimgate, layout):
    root = layout(forge.image([[program("app")]], entrypoint=["/app"]))
    assert "slimgate advise IMAGE tells which base would carry it" in slimgate("check", root).out
