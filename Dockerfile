# Onepass in containers. Targets:
#   gateway      the service, FAISS on the CPU (the default)
#   gateway-gpu  the same with FAISS on the GPU, for ONEPASS_INDEXES__GPU
#
# The base image is pinned by version; pin it by digest where you build: --build-arg PYTHON_IMAGE=python@sha256:…
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

# Packages are installed from wheels with the hashes of the lock, by a pip that stays behind.
FROM ${PYTHON_IMAGE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_QUIET=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/onepass
COPY requirements/service.lock requirements/otel.lock /build/requirements/
RUN /opt/pip/bin/pip --python /opt/onepass/bin/python install --require-hashes --only-binary :all: \
      -r /build/requirements/service.lock -r /build/requirements/otel.lock
COPY pyproject.toml README.md LICENSE /build/
COPY service /build/service
RUN /opt/pip/bin/pip --python /opt/onepass/bin/python install --no-index --no-deps --no-build-isolation /build \
 && /opt/pip/bin/pip --python /opt/onepass/bin/python uninstall --yes setuptools

FROM packages AS packages-gpu
COPY requirements/gpu.lock /build/requirements/
RUN /opt/pip/bin/pip --python /opt/onepass/bin/python uninstall --yes faiss-cpu \
 && /opt/pip/bin/pip --python /opt/onepass/bin/python install --require-hashes --no-deps --only-binary :all: \
      -r /build/requirements/gpu.lock

FROM ${PYTHON_IMAGE} AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/onepass --shell /usr/sbin/nologin onepass \
 && install -d -o onepass -g onepass /var/lib/onepass /var/lib/onepass/indexes /var/lib/onepass/hub
ENV PATH=/opt/onepass/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HOME=/var/lib/onepass/hub \
    ONEPASS_SERVER__HOST=0.0.0.0 \
    ONEPASS_INDEXES__DIRECTORY=/var/lib/onepass/indexes \
    ONEPASS_LOGS__JSON_LINES=true \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /var/lib/onepass
EXPOSE 8080
USER 10001:10001
ENTRYPOINT ["onepass"]
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python3", "-c", "import os, urllib.request as web; \
web.urlopen('http://127.0.0.1:' + os.environ.get('ONEPASS_SERVER__PORT', '8080') + '/readyz', timeout=4)"]

FROM runtime AS gateway-gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=packages-gpu /opt/onepass /opt/onepass
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Onepass gateway, FAISS on the GPU" \
      org.opencontainers.image.description="Online listwise reranking: one forward pass, a few logits" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Last, so that a build that names no target makes this one.
FROM runtime AS gateway
COPY --from=packages /opt/onepass /opt/onepass
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Onepass gateway" \
      org.opencontainers.image.description="Online listwise reranking: one forward pass, a few logits" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
