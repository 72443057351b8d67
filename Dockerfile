# Two images from one lock: `airflow` runs the DAGs, `localaws` is the local AWS and so also brings what the jobs need.

# The digest is what public records give for this tag; it was not pulled where this was written.
FROM python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b AS base
ENV AIRFLOW_HOME=/opt/airflow \
    PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/kennel/plugins:/opt/kennel \
    PYTHONUNBUFFERED=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/opt/venv \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /opt/kennel
COPY pyproject.toml uv.lock uv.txt ./
RUN pip install --no-cache-dir --require-hashes --requirement uv.txt \
    && useradd --uid 50000 --gid 0 --home-dir /opt/airflow airflow \
    # A named volume takes the owner of the directory it is first mounted on.
    && mkdir -p /opt/airflow/logs /opt/kennel/.kennel \
    && chown -R airflow:0 /opt/airflow /opt/kennel/.kennel

FROM base AS airflow
# Without what only the jobs and the local AWS import: torch alone is 5 GB.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv export --frozen --quiet --no-default-groups --group compose --no-emit-project --output-file /tmp/requirements.txt \
        --prune ministack --prune optuna --prune torch --prune torchvision \
    && uv venv --quiet /opt/venv \
    && uv pip install --quiet --no-build --require-hashes --python /opt/venv/bin/python --requirements /tmp/requirements.txt
COPY dags dags
COPY infra infra
COPY lambda lambda
COPY ml ml
COPY plugins plugins
USER airflow

FROM base AS localaws
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --quiet --no-build --no-default-groups --no-install-project
COPY dags dags
COPY infra infra
COPY localaws localaws
COPY plugins plugins
USER airflow
