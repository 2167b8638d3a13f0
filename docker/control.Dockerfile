# Everything of the deployment that needs no accelerator: API server, scheduler, DAG processor, triggerer,
# default worker. The target `cpu` adds a data plane for hosts without one.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm
FROM ${PYTHON_IMAGE} AS control

RUN apt-get update \
 && apt-get install --yes --no-install-recommends curl python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 50000 --gid 0 --create-home airflow \
 && install --directory --owner 50000 --group 0 --mode 0775 /opt/airflow /opt/airflow/logs /srv/bench

COPY requirements/control.txt /tmp/control.txt
RUN python3 -m venv /opt/control \
 && /opt/control/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/control.txt

ENV PATH=/opt/control/bin:$PATH PYTHONPATH=/opt/bench AIRFLOW_HOME=/opt/airflow
USER 50000
WORKDIR /opt/bench

FROM control AS cpu
USER 0
COPY requirements/data-cpu.txt /tmp/data-cpu.txt
RUN python3 -m venv /opt/data \
 && /opt/data/bin/pip install --no-cache-dir --requirement /tmp/data-cpu.txt
USER 50000
ENV BENCH_DATA_PYTHON=/opt/data/bin/python BENCH_BACKEND=cpu
