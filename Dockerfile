# One image for web, worker, beat and migrations. Build: docker build -t broker-backoffice .
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/*

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/backoffice

COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY . .
# A fixed number, so that the owner of a mounted volume can be named on the host; the name is what tools ask for.
RUN useradd --system --uid 10001 --home-dir /srv/backoffice --no-create-home backoffice \
    && python manage.py collectstatic --noinput \
    && mkdir -p var/files var/mail var/beat \
    && chown -R backoffice var
USER backoffice

EXPOSE 8000
CMD ["gunicorn", "backoffice.wsgi:application", "--bind=0.0.0.0:8000", "--workers=3", "--threads=4", "--access-logfile=-"]
