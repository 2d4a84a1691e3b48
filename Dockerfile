# One image for receiver, worker, reconciler, dashboard and command line; its command chooses the part.
# `--target flower` is another, the same with Flower, which no other part must have.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/toolworker
ENV PATH=/opt/toolworker/bin:$PATH
WORKDIR /build
# dependencies first: they change less often than the code
COPY requirements.lock requirements-dev.lock ./
RUN pip install --require-hashes -r requirements.lock
# the build backend, at its locked version and in a folder that stays behind
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements-dev.lock > backend.lock \
    && pip install --require-hashes --target /build/backend -r backend.lock
COPY pyproject.toml README.md celeryconfig.py ./
COPY actions actions
COPY webhook webhook
COPY tasks tasks
COPY ledger ledger
COPY genesys genesys
COPY db db
COPY runtime runtime
COPY ops ops
COPY simulator simulator
RUN PYTHONPATH=/build/backend pip install --no-deps --no-build-isolation . \
    && python -m compileall -q /opt/toolworker/lib \
    && pip uninstall --yes pip

FROM python:3.13-slim AS base
# /run/toolworker: the socket between proxy and data actions. A volume that is mounted there takes
# over this owner.
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent toolworker \
    && install -d -o toolworker /run/toolworker
COPY --from=build /opt/toolworker /opt/toolworker
COPY tools /app/tools
ENV PATH=/opt/toolworker/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TOOLS_DIR=/app/tools
WORKDIR /app
USER toolworker

FROM base AS flower
USER root
COPY requirements-flower.lock ./
# the venv has no pip, so Python's own installs into it; /data is what Flower keeps, with its owner
RUN /usr/local/bin/python3 -m pip --python /opt/toolworker/bin/python install \
        --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-flower.lock \
    && install -d -o toolworker /data
USER toolworker
EXPOSE 5555
CMD ["toolworker", "flower", "--address", "0.0.0.0", "--db", "/data/flower"]

# last, for `docker build .` builds the last one
FROM base AS toolworker
EXPOSE 8000
# --bind: a container's loopback is out of reach; the control socket would need a home folder
CMD ["gunicorn", "-c", "python:webhook.gunicorn", "--bind", "0.0.0.0:8000", "--no-control-socket", "webhook:create_app()"]
