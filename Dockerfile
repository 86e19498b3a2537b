# slimgate's own image: it has to pass slimgate's own distroless-nonroot policy.
#
#   docker build -t registry.example/slimgate:0.1.0 .
#
# Other bases (a mirror, an air-gapped registry) come in by --build-arg BUILDER=… BASE=….
# Both must have the same CPython minor version and glibc: wheels are installed in the one
# and imported in the other. `make pin` writes the digests of both into these two lines.
ARG BUILDER=docker.io/library/python:3.13-slim-trixie
ARG BASE=gcr.io/distroless/python3-debian13:nonroot

FROM ${BUILDER} AS builder
# The same sources give the same image: no file is younger than this, and nothing hashes anew.
ARG SOURCE_DATE_EPOCH=1767225600
ENV PYTHONHASHSEED=0
WORKDIR /build
# Dependencies first: this layer is rebuilt only when the lock changes.
COPY requirements.lock ./
RUN python3 -m pip install --no-cache-dir --no-compile --only-binary :all: \
        --require-hashes --target /slimgate -r requirements.lock
# What is installed and never imported. tests/cluster/test_image.py imports all the rest.
#   kubernetes/aio and what it takes: the asynchronous twin of the client, 80 MB
#   cel_expr_python/ext: each library has CEL in it once more; the rules use two of six
#   pygments, markdown_it: for rich's tracebacks and Markdown; tzdata: the base has it
#   bin, bazel-project: console scripts, and a build tree that a wheel brings by mistake
RUN cd /slimgate \
    && rm -rf bin bazel-project kubernetes/aio aiohttp* aiosignal* aiohappyeyeballs* attr attrs* \
        frozenlist* multidict* propcache* yarl* pygments* markdown_it* mdurl* tzdata* \
        cel_expr_python/ext/ext_bindings.* cel_expr_python/ext/ext_encoders.* \
        cel_expr_python/ext/ext_math.* cel_expr_python/ext/ext_proto.* \
    && find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' \
        -o -name '*.h' -o -path '*.dist-info/RECORD' \) -delete \
    && find . -type d \( -name tests -o -name testing \) -prune -exec rm -rf {} +
# The file system is read-only at run time, so bytecode is made now. Of others' packages it is
# all that is kept, and of the generated client not even the docstrings.
RUN python3 -W ignore -m compileall -q -b -o 2 --invalidation-mode unchecked-hash \
        /slimgate/kubernetes \
    && find /slimgate/kubernetes -name '*.py' -delete \
    && python3 -W ignore -m compileall -q -b --invalidation-mode unchecked-hash /slimgate \
    && find /slimgate -name '*.py' -delete
# --target has no place for console scripts of ours: the package is run as a module.
COPY webhook /slimgate/webhook
COPY policies /slimgate/webhook/policies
COPY LICENSE /slimgate/LICENSE
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /slimgate/webhook \
    && find /slimgate -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE}
COPY --from=builder /slimgate /slimgate
ENV PYTHONPATH=/slimgate PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number: kubelet cannot prove a name to be non-root (runAsNonRoot).
USER 65532:65532
EXPOSE 8443 9090 9091
ENTRYPOINT ["/usr/bin/python3", "-m", "webhook"]
CMD ["serve", "--listen", "0.0.0.0:8443"]
