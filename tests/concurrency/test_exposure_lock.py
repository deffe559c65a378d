"""One calculation of an entity at a time; who waits too long is told to come again, and nothing is stored."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from backoffice.core.types import Actor
from backoffice.kernel.errors import Retryable
from risk import locks
from risk.models import ExposureRun
from risk.services.exposure import calculate_exposure
from tests.risk import world

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_second_calculation_gives_up_while_the_first_runs(monkeypatch):
    # given: another process is calculating
    monkeypatch.setattr(locks, "LOCK_TIMEOUT_MILLISECONDS", 50)
    entity = world.make_entity()
    is_locked, may_end = threading.Event(), threading.Event()

    def calculate_slowly() -> None:
        with transaction.atomic():
            locks.lock_exposure(entity.pk)
            is_locked.set()
            may_end.wait(10)
        connection.close()

    other = threading.Thread(target=calculate_slowly)
    other.start()
    assert is_locked.wait(10)
    # then
    with pytest.raises(Retryable):
        calculate_exposure(entity_id=entity.pk, actor=Actor.system("test"))
    assert not ExposureRun.objects.exists()
    # when the first is done
    may_end.set()
    other.join()
    assert calculate_exposure(entity_id=entity.pk, actor=Actor.system("test")).positions == 0
