# Debian's PostgreSQL and RabbitMQ, in images that behave like the official ones where
# docker/compose.yaml relies on it: users, folders, commands, and the source of passwords.
ARG DEBIAN
FROM ${DEBIAN} AS postgres

ENV PATH=/usr/lib/postgresql/17/bin:$PATH \
    PGDATA=/var/lib/postgresql/data
RUN install --directory --owner postgres --group postgres --mode 1777 "$PGDATA" /run/postgresql
COPY postgres_entrypoint.sh /usr/local/bin/
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres_entrypoint.sh"]


FROM ${DEBIAN} AS rabbitmq

ENV PATH=/usr/lib/rabbitmq/bin:$PATH \
    LANG=C.UTF-8 \
    RUNNING_UNDER_SYSTEMD=true
RUN chmod 1777 /var/log/rabbitmq
CMD ["rabbitmq-server"]
