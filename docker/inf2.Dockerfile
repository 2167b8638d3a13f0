# A worker inside AWS's Neuron container: its Python with torch-neuronx is the data plane, Airflow gets a virtual
# environment of its own beside it. One image per SDK, so that one host can measure several.
ARG NEURON_IMAGE
FROM ${NEURON_IMAGE}

# Ubuntu 22.04 has Python 3.10, which Airflow's pins are not for, and 3.11 beside it; 24.04 has 3.12.
RUN apt-get update \
 && (apt-get install --yes --no-install-recommends python3.11 python3.11-venv \
     || apt-get install --yes --no-install-recommends python3 python3-venv) \
 && rm -rf /var/lib/apt/lists/*

COPY requirements/control.txt /tmp/control.txt
RUN python=$(ls /usr/bin/python3.11 /usr/bin/python3 2>/dev/null | head -n 1) \
 && "$python" -m venv /opt/control \
 && /opt/control/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/control.txt \
 && install --directory --group 0 --mode 0775 /opt/airflow /opt/airflow/logs /srv/bench

ENV PATH=/opt/control/bin:$PATH PYTHONPATH=/opt/bench AIRFLOW_HOME=/opt/airflow BENCH_BACKEND=neuron
WORKDIR /opt/bench
# The image's own entry point starts a model server.
ENTRYPOINT []
