"""Identity on the desk: sign-ins, sessions, departures, the access review, and who looked as a client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.models import AccessReview, ClientView, LeaverRecord, LoginEvent, User, UserSession
from backoffice.core.services import access_review, leavers, sessions
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge, computed_column, link_column, moment_column, number, text, text_column
from backoffice.ui.exports import record_export
from backoffice.ui.forms import ReasonForm
from backoffice.ui.renderers.pdf import render_pdf
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page


class LeaverForm(ReasonForm):
    """Who takes over, and why the person leaves."""

    successor = forms.ChoiceField(required=False, help_text="Takes over clients and open work items.")
    field_order: Sequence[str] = ("successor", "reason")


class NoteForm(forms.Form):
    """What a reviewer found."""

    note = forms.CharField(
        label="What you found",
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=2000,
        help_text="Kept with the rows as they are now, under your name.",
    )
    digest = forms.CharField(widget=forms.HiddenInput, max_length=64)


class EndSessions(DeskActionView):
    """Ends every session of a login, as when a device is lost."""

    slug, title, button, capability = "end-sessions", "End all sessions", "End sessions", "core.manage_users"
    tone = "danger"
    form_class = ReasonForm
    explanation = "Whoever is signed in with this login is out at the next click. The login stays open."
    success_message = "The sessions have ended."

    @classmethod
    def is_offered(cls, target: User, actor: Actor) -> bool:
        """Where there is one; one's own are ended under Security."""
        return target.pk != actor.user_id and target.sessions.filter(ended_at=None).exists()

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Ending twice is ending once."""
        return sessions.end_sessions_of(user_id=self.target.pk, actor=actor, reason=data["reason"])


class RecordLeaver(DeskActionView):
    """The departure of a colleague, with a preview of everything that follows."""

    slug, title, button, capability = "leaver", "Leaver procedure", "Leaver procedure", "core.run_leaver"
    tone = "danger"
    explanation = (
        "Closes the login for good, ends sessions, revokes API keys and exceptions, hands clients and work items over."
    )
    success_message = "The departure is recorded; nothing opens with this login any more."

    @classmethod
    def is_offered(cls, target: User, actor: Actor) -> bool:
        """Colleagues only, and not oneself."""
        return target.pk != actor.user_id and target.is_staff

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the colleagues who could take over."""
        form = LeaverForm(data)
        people = leavers.possible_successors(user_id=self.target.pk, actor=actor)
        field = form.fields["successor"]
        assert isinstance(field, forms.ChoiceField), "declared above"
        field.choices = [
            ("", "nobody"),
            *((str(person.pk), f"{person.full_name} ({person.email})") for person in people),
        ]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Every step with how much it concerns."""
        steps = leavers.preview_leaver(user_id=self.target.pk, successor_id=_number(data["successor"]), actor=actor)
        successor = User.objects.filter(pk=_number(data["successor"]) or 0).first()
        return [
            ("Leaves", f"{self.target.full_name} ({self.target.email})"),
            ("Takes over", str(successor) if successor else "nobody"),
            *((step.label, f"{step.count:,}") for step in steps),
            ("Login", "closed, without roles and password"),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds the person gone."""
        return leavers.record_leaver(
            user_id=self.target.pk, successor_id=_number(data["successor"]), actor=actor, reason=data["reason"]
        )


def _number(value: str) -> int | None:
    return int(value) if value else None


@admin.register(LoginEvent)
class LoginEventAdmin(DeskModelAdmin):
    """What happened at the front door."""

    view_capability = "core.view_login_events"
    list_display = (
        "at_shown",
        "kind_shown",
        "user_shown",
        "email",
        "address",
        "country",
        "user_agent",
        "method",
        "device_shown",
    )
    list_select_related = ("user",)
    list_filter = ("kind", "country")
    search_fields = ("email", "user__full_name", "address", "device")
    ordering = ("-id",)
    at_shown = moment_column("at", title="When", order="id")
    kind_shown = computed_column(lambda event: event.get_kind_display(), title="What", order="kind")
    user_shown = link_column("user", title="Login")
    device_shown = computed_column(lambda event: event.device.hex[:8] if event.device else "", title="Device")


@admin.register(UserSession)
class UserSessionAdmin(DeskModelAdmin):
    """Sessions, open and ended. The key of a session is never shown."""

    view_capability = "core.view_login_events"
    list_display = (
        "user_shown",
        "user_agent",
        "address",
        "country",
        "started_shown",
        "seen_shown",
        "ended_shown",
        "end_reason",
    )
    list_select_related = ("user",)
    list_filter = ("end_reason",)
    search_fields = ("user__email", "user__full_name", "address")
    ordering = ("-last_seen_at",)
    fieldsets = (
        (None, {"fields": (("user_shown", "user_agent"), ("address", "country"), ("started_shown", "seen_shown"))}),
        ("End", {"fields": (("ended_shown", "end_reason"),)}),
    )
    user_shown = link_column("user", title="Login")
    started_shown = moment_column("started_at", title="Began", order="started_at")
    seen_shown = moment_column("last_seen_at", title="Last seen", order="last_seen_at")
    ended_shown = moment_column("ended_at", title="Ended", order="ended_at")


@admin.register(LeaverRecord)
class LeaverRecordAdmin(DeskModelAdmin):
    """Who left, and what was done."""

    view_capability = "core.view_leavers"
    list_display = ("done_shown", "user_shown", "successor_shown", "done_by", "reason")
    list_select_related = ("user", "successor")
    search_fields = ("user__email", "user__full_name", "reason")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (("user_shown", "successor_shown"), ("done_shown", "done_by"), "reason")}),
        ("Evidence", {"fields": ("evidence_shown",)}),
    )
    done_shown = moment_column("done_at", title="When", order="id")
    user_shown = link_column("user", title="Who left")
    successor_shown = link_column("successor", title="Successor")
    evidence_shown = computed_column(
        lambda record: "; ".join(f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in record.evidence.items()),
        title="What was done",
    )


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_plain(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(str(part) for part in value[:20]) + (" …" if len(value) > 20 else "") if value else "none"
    return str(value)


@admin.register(ClientView)
class ClientViewAdmin(DeskModelAdmin):
    """Who looked at the portal as which client, why, and until when."""

    view_capability = "core.view_audit"
    list_display = ("started_shown", "staff_shown", "person_shown", "reason", "ended_shown", "end_reason")
    list_select_related = ("staff", "person")
    search_fields = ("staff__email", "person__email", "reason")
    ordering = ("-id",)
    started_shown = moment_column("started_at", title="Began", order="id")
    staff_shown = link_column("staff", title="Who looked")
    person_shown = text_column("person", title="As whom")
    ended_shown = moment_column("ended_at", title="Ended")


@admin.register(AccessReview)
class AccessReviewAdmin(DeskModelAdmin):
    """Signed reviews of who may do what."""

    view_capability = "core.review_access"
    list_display = ("signed_shown", "reviewer_shown", "row_count", "note", "digest_shown")
    list_select_related = ("reviewer",)
    search_fields = ("reviewer__email", "note")
    ordering = ("-id",)
    fieldsets = ((None, {"fields": (("signed_shown", "reviewer_shown"), ("row_count", "digest"), "note")}),)
    signed_shown = moment_column("signed_at", title="Signed", order="id")
    reviewer_shown = link_column("reviewer", title="Reviewer")
    digest_shown = computed_column(lambda review: review.digest[:12], title="Digest")


@register_desk_page
class AccessReviewPage(DeskTablePage):
    """Every staff login with what it may do, ready to be exported and signed."""

    desk, slug, title, capability = "organisation", "access_review", "Access review", "core.review_access"
    route = "access-review/"
    subtitle = "Who may do what, for which legal entities, and whether it is used"
    empty_text = "No staff login that you may see."
    template_name = "desk/access_review.html"
    columns = (
        text("full_name", title="Name"),
        text("email", title="Login"),
        text("kind", title="Kind"),
        badge("is_open", title="Open", tones={True: "good", False: "quiet"}),
        text("roles", title="Roles"),
        text("entities", title="Entities"),
        text("teams", title="Teams"),
        number("exceptions", title="Exceptions"),
        number("api_keys", title="API keys"),
        text("second_factor", title="Second factor"),
        text("last_login", title="Last login, UTC"),
        text("remark", title="Remark"),
    )

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or its rows as CSV, XLSX or PDF."""
        return self._pdf() if request.GET.get("export") == "pdf" else super().get(request, *args, **kwargs)

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[Any]:
        """Every login that the reviewer sees."""
        return access_review.review_rows(actor=actor)

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """The figures that a reviewer looks at first, and the way to sign."""
        rows = access_review.review_rows(actor=actor)
        last = access_review.reviews(actor=actor).first()
        signed = f"{last.signed_at:%Y-%m-%d} by {last.reviewer}" if last else "never"
        return {
            "summary": [
                ("Logins", str(len(rows))),
                ("Not used for 90 days", str(sum(row.is_dormant for row in rows))),
                ("Without second factor", str(sum("no second factor" in row.remark for row in rows))),
                ("Last signed", signed),
            ],
            "sign_url": f"{SignReview.url()}?digest={access_review.digest_of(rows)}",
            "pdf_url": "?export=pdf",
        }

    def _pdf(self) -> HttpResponse:
        rows = access_review.review_rows(actor=self.actor)
        record_export(self.request, name="organisation-access_review", count=len(rows), file_format="pdf")
        context = {
            "headings": [column.title for column in self.columns],
            "rows": [[column.plain(row) for column in self.columns] for row in rows],
            "digest": access_review.digest_of(rows),
            "reviewer": self.actor.label,
        }
        data = render_pdf("desk/access_review_print.html", context, title="Access review", brand="Back office")
        response = HttpResponse(data, content_type="application/pdf")
        response.headers["Content-Disposition"] = (
            f'attachment; filename="access-review-{clock.now():%Y%m%d-%H%M%S}.pdf"'
        )
        return response


@register_desk_page
class SignReview(DeskActionView):
    """The reviewer's signature under the rows that they have read."""

    desk, slug, title = "organisation", "sign_access_review", "Sign the access review"
    route = "access-review/sign/"
    button, capability = "Sign", "core.sign_access_review"
    form_class = NoteForm
    explanation = "Records that you have read who may do what, with the rows as they are now."
    success_message = "The review is signed."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The rows that were on the page."""
        return {"digest": self.request.GET.get("digest", "")[:64]}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is signed."""
        rows = access_review.review_rows(actor=actor)
        if access_review.digest_of(rows) != data["digest"]:
            raise InvalidInput("Access has changed since you opened the page; read it again.")
        return [("Logins", str(len(rows))), ("Digest", data["digest"][:16] + "…"), ("What you found", data["note"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press makes a second signature, which harms nothing."""
        return access_review.sign_review(actor=actor, note=data["note"], digest=data["digest"])

    def success_url(self, result: Any) -> str:
        """Back to the review."""
        return reverse(AccessReviewPage.url_name())
