"""Keeps a group of child processes: started in order, stopped in reverse order; one that dies ends all and is named.

A child that was added with a way to start it again is started again instead, after a pause and so many times at most:
such a one stands for something outside, a trading server for one, that may be away without ending the rest.

Owns the process's signal handlers while it runs. It must run in the main thread, because the children's death signal
follows the thread that started them.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from types import FrameType, TracebackType

from backoffice.devstack.console import Step, say
from backoffice.devstack.errors import DevstackError
from backoffice.devstack.process import Child, log_tail, stop

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WAKE_SECONDS = 0.25
RENEWAL_PAUSE_SECONDS = 20.0
"""Long enough for whoever follows the dead one to notice that it is away."""

MOST_RENEWALS = 50


class EndRequested(Exception):  # noqa: N818 - not an error: somebody asked to stop
    """A signal asked for the end while nothing was there to forward it to."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class DeadChildError(DevstackError):
    """A child that should have gone on running has ended."""

    def __init__(self, child: Child) -> None:
        where = f"; its log is {child.log}" if child.log is not None else ""
        super().__init__(f"{child.name} {child.describe_end()} unexpectedly{where}{log_tail(child.log)}")
        self.child = child


class Supervisor:
    """Use as a context manager: on leaving, every child still running is stopped, the last started first."""

    def __init__(self, *, announce_stops: bool = False) -> None:
        self._announce_stops = announce_stops
        self._children: list[Child] = []
        self._renewals: dict[str, Callable[[], Child]] = {}
        self._renewed: dict[str, int] = {}
        self._died_at: dict[str, float] = {}
        self._requested: list[signal.Signals] = []
        self.asked_to_end: signal.Signals | None = None
        self._earlier_handlers: dict[signal.Signals, object] = {}
        self._wake_read, self._wake_write = os.pipe()
        self._earlier_wakeup = -1

    def __enter__(self) -> Supervisor:
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._earlier_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in END_SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup was asked for
            self._earlier_handlers[number] = signal.signal(number, self._on_end_signal)
        self._earlier_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _on_child_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop_all()
        finally:
            signal.set_wakeup_fd(self._earlier_wakeup)
            for number, handler in self._earlier_handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _on_end_signal(self, number: int, _frame: FrameType | None) -> None:
        self.asked_to_end = signal.Signals(number)
        self._requested.append(self.asked_to_end)

    def add(self, child: Child, *, renew: Callable[[], Child] | None = None) -> Child:
        """Puts *child* under watch, as the next to be stopped. With *renew* its death is mended, not followed."""
        self._children.append(child)
        if renew is not None:
            self._renewals[child.name] = renew
        return child

    def stop_all(self) -> None:
        """Stops every child in reverse order of starting. Signals that arrive meanwhile change nothing."""
        while self._children:
            child = self._children[-1]
            if child.exit_status() is None:
                with Step(f"stopping {child.name}") if self._announce_stops else nullcontext():
                    stop(child)
            self._children.pop()

    def raise_if_ended(self) -> None:
        """Raises DeadChildError for a watched child that has ended, EndRequested when a signal has come."""
        for place, child in enumerate(self._children):
            if child.exit_status() is not None:
                self._renew_or_raise(place, child)
        if self._requested:
            raise EndRequested(self._requested.pop(0))

    def _renew_or_raise(self, place: int, child: Child) -> None:
        """Starts a renewable child again once its pause is over; raises DeadChildError for any other."""
        renew = self._renewals.get(child.name)
        if renew is None or self._renewed.get(child.name, 0) >= MOST_RENEWALS:
            raise DeadChildError(child)
        if child.name not in self._died_at:
            self._died_at[child.name] = time.monotonic()
            say(f"{child.name} {child.describe_end()}; it is started again in {RENEWAL_PAUSE_SECONDS:.0f} s")
        elif time.monotonic() - self._died_at[child.name] >= RENEWAL_PAUSE_SECONDS:
            del self._died_at[child.name]
            self._renewed[child.name] = self._renewed.get(child.name, 0) + 1
            self._children[place] = renew()

    def run_part(self, child: Child, *, tick: Callable[[], None]) -> None:
        """Runs *child* as one step of a longer work: raises EndRequested when a signal came meanwhile, and
        DevstackError when it did not end well."""
        status = self.run(child, tick=tick)
        if self.asked_to_end is not None:
            raise EndRequested(self.asked_to_end)
        if status != 0:
            raise DevstackError(f"{child.name} ended with status {status}")

    def wait(self, seconds: float = WAKE_SECONDS) -> None:
        """Sleeps until a signal comes or a child ends, at most *seconds*."""
        ready, _, _ = select.select([self._wake_read], [], [], seconds)
        if ready:
            os.read(self._wake_read, 4096)

    def run(self, child: Child, *, tick: Callable[[], None] | None = None) -> int:
        """Waits for *child*, which is expected to end, and returns its status as a shell shows it.

        End signals are passed on to it. When a watched child dies first, *child* is stopped and DeadChildError raised.
        """
        try:
            while True:
                status = child.exit_status()
                if status is not None:
                    return status
                while self._requested:
                    self._pass_on(child, self._requested.pop(0))
                for place, watched in enumerate(self._children):
                    if watched.exit_status() is not None:
                        self._renew_or_raise(place, watched)
                if tick is not None:
                    tick()
                self.wait()
        finally:
            if child.exit_status() is None:
                say(f"stopping {child.name}")
                stop(child)

    def run_until_ended(self) -> None:
        """Waits until a watched child dies (DeadChildError) or a signal asks for the end (EndRequested)."""
        while True:
            self.raise_if_ended()
            self.wait()

    @staticmethod
    def _pass_on(child: Child, number: signal.Signals) -> None:
        if number is signal.SIGINT and _shares_terminal(child):
            return  # the terminal has already sent Ctrl-C to the whole foreground group, the child included
        child.popen.send_signal(number)


def _on_child_signal(_number: int, _frame: FrameType | None) -> None:
    """Nothing to do here: the signal's only purpose is to wake the waiting loop."""


def _shares_terminal(child: Child) -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        foreground = os.tcgetpgrp(terminal)
        return foreground == os.getpgrp() == os.getpgid(child.pid)
    except OSError:
        return False
    finally:
        os.close(terminal)
