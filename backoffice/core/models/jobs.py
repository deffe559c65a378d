"""Work that must survive a killed process: job rows with leases, and the record of scheduled runs."""

from __future__ import annotations

from django.db import models

from backoffice.kernel import clock


class Job(models.Model):
    """A shard of work. A worker leases it, keeps the lease alive by a heartbeat, and finishes it in its own transaction.

    When the worker dies, the lease runs out and the reaper makes the shard ready again.
    """

    class State(models.TextChoices):
        READY = "ready", "Ready"
        LEASED = "leased", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=80)
    key = models.CharField(max_length=160)
    payload = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.READY)
    run_after = models.DateTimeField(default=clock.now)
    attempts = models.IntegerField(default=0)
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "key"], name="core_job_key_unique"),
            models.CheckConstraint(
                condition=~models.Q(state="leased") | models.Q(lease_until__isnull=False),
                name="core_job_lease_has_end",
            ),
        ]
        indexes = [
            models.Index(fields=["kind", "run_after", "id"], name="core_job_ready", condition=models.Q(state="ready")),
            models.Index(fields=["lease_until"], name="core_job_leased", condition=models.Q(state="leased")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class JobRun(models.Model):
    """A scheduled run of a job: the pair (job, slot) exists once, so two schedulers start it once.

    A run that failed is tried again from `run_after` on, a bounded number of times.
    """

    job = models.CharField(max_length=80)
    slot = models.CharField(max_length=40)
    started_at = models.DateTimeField(default=clock.now, editable=False)
    run_after = models.DateTimeField(default=clock.now)
    attempts = models.IntegerField(default=0)
    finished_at = models.DateTimeField(null=True)
    outcome = models.JSONField(default=dict)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["job", "slot"], name="core_jobrun_slot_unique")]

    def __str__(self) -> str:
        return f"{self.job} {self.slot}"


class ProcessHeartbeat(models.Model):
    """When a long-running process (beat, worker, market, sync) last said that it lives."""

    name = models.CharField(max_length=80, primary_key=True)
    beat_at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
