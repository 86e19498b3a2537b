# slimgate's own image: it has to pass slimgate's own distroless-nonroot policy.
#
#   docker build -t registry.example/slimgate:0.1.0 .
#
# Other bases (a mirror, an air-gapped registry) come in by --build-arg BUILDER=… BASE=….
# Both must have the same CPython minor version and glibc: wheels are installed in the one
# and imported in the other. Pin both by digest where builds have to be repeatable.
ARG BUILDER=docker.io/library/python:3.13-slim-trixie
ARG BASE=gcr.io/distroless/python3-debian13:nonroot

FROM ${BUILDER} AS builder
WORKDIR /build
# Dependencies first: this layer is rebuilt only when the lock changes.
COPY requirements.lock ./
RUN python3 -m pip install --no-cache-dir --no-compile --only-binary :all: \
        --require-hashes --target /slimgate -r requirements.lock \
    # Console scripts, and the build tree that cel-expr-python's wheel brings by mistake.
    && rm -rf /slimgate/bin /slimgate/bazel-project
# --target has no place for console scripts of ours: the package is run as a module.
COPY webhook /slimgate/webhook
COPY policies /slimgate/webhook/policies
# The file system is read-only at run time, so bytecode is made now; by hash, not by time,
# so that the same sources give the same layer.
RUN python3 -W ignore -m compileall -q --invalidation-mode unchecked-hash /slimgate

FROM ${BASE}
COPY --from=builder /slimgate /slimgate
COPY LICENSE /slimgate/LICENSE
ENV PYTHONPATH=/slimgate PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number: kubelet cannot prove a name to be non-root (runAsNonRoot).
USER 65532:65532
EXPOSE 8443 9090
ENTRYPOINT ["/usr/bin/python3", "-m", "webhook"]
CMD ["serve", "--listen", "0.0.0.0:8443"]
