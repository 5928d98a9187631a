# One image for the gateway and every worker; the command picks the part.
FROM python:3.11-slim
WORKDIR /app
COPY requirements.lock pyproject.toml README.md ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY ingest ingest
COPY processors processors
COPY schemas schemas
COPY sql sql
COPY stack stack
COPY models models
COPY deploy deploy
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . && useradd --system streamgauge
USER streamgauge
ENTRYPOINT ["streamgauge"]
