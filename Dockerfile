# One image for the gateway and every worker; the command picks the part.
#   docker build -t streamgauge .                    CPU
#   docker build -t streamgauge-gpu --target gpu .   with CUDA and cuDNN, for evaluate
# Pin the base by digest in your own builds: --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS dependencies
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# Only what the product runs with, and what receivers of alerts ask for (pictures, apprise): no
# embedded stack, no development tools. `make lock` writes it.
COPY deploy/image/requirements.lock /locks/
RUN pip install --require-hashes -r /locks/requirements.lock

FROM dependencies AS dependencies-gpu
COPY deploy/image/requirements-gpu.lock /locks/
RUN pip install --require-hashes -r /locks/requirements-gpu.lock

FROM ${PYTHON_IMAGE} AS base
# A fixed number, so that volumes and security policies can name it.
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin streamgauge \
  # An empty volume takes the owner of the folder that it is mounted on.
  && install -d -o 10001 -g 10001 /var/lib/streamgauge
# matplotlib (pictures of alerts) keeps its list of fonts; the root file system may be read-only.
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
  MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY sql sql
COPY ingest ingest
COPY processors processors
COPY stack stack
COPY models models
COPY deploy/rules.yaml deploy/rules.yaml
COPY --chmod=755 deploy/image/streamgauge /usr/local/bin/streamgauge
USER 10001:10001
EXPOSE 4317 4318 9464
# Every part serves /health on runtime.metrics_base_port or its --port: 9464 in containers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/health', timeout=4)"]
ENTRYPOINT ["streamgauge"]
CMD ["--help"]

FROM base AS gpu
COPY --from=dependencies-gpu /venv /venv

# The last stage is what `docker build .` makes.
FROM base AS cpu
COPY --from=dependencies /venv /venv
