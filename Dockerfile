# One image for web, streams, workers, beat and migrations. Build: docker build -t broker-backoffice .
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/*

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/tmp
WORKDIR /srv/backoffice

COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY . .
# A fixed number, so that the owner of a mounted volume can be named on the host; the name is what tools ask for.
# The code belongs to root: a process that is taken over cannot change what runs.
RUN useradd --system --uid 10001 --home-dir /srv/backoffice --no-create-home backoffice \
    && python manage.py collectstatic --noinput \
    && mkdir -p var/files var/mail var/ticks \
    && chown -R backoffice var/files var/mail var/ticks
USER 10001

EXPOSE 8000 8001
STOPSIGNAL SIGTERM
CMD ["gunicorn", "backoffice.wsgi:application", "--bind=0.0.0.0:8000", "--workers=3", "--threads=4", "--access-logfile=-"]
