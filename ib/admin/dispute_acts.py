"""What people at the desk do with a dispute: each act is a form that calls one use case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms

from backoffice.core.access import visible_to
from backoffice.core.changes.rules import ChangeState
from backoffice.core.models import ChangeRequest
from backoffice.core.types import Actor
from backoffice.ui.formats import format_amount
from backoffice.ui.views import DeskActionView
from ib.dispute_rules import Correction, DisputeCause, DisputeState, may_step
from ib.models import Dispute, Partner
from ib.services import disputes
from ib.services.disputes.common import HANDLE
from ib.services.disputes.goodwill import PROPOSE

CHANGES_OFFERED = 200


def _long(label: str, **options: Any) -> forms.CharField:
    return forms.CharField(label=label, max_length=4000, widget=forms.Textarea(attrs={"rows": 4}), **options)


class DisputeAct(DeskActionView):
    """What the acts share: they concern one dispute, and are offered while its step is possible."""

    capability = HANDLE
    step = ""
    target: Dispute

    @classmethod
    def is_offered(cls, target: Dispute, actor: Actor) -> bool:
        """While the step is possible, and not to who decided what is appealed against."""
        if target.appealed_at and actor.user_id and target.first_decided_by_user_id == actor.user_id:
            return False
        return may_step(cls.step, target.state)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose dispute, what is said, what follows."""
        words = next(
            (str(data[name]) for name in ("question", "answer", "text", "note", "reason") if data.get(name)), ""
        )
        return [
            ("Partner", str(self.target.partner)),
            ("About", self.target.subject_reference),
            *([("In words", words)] if words else []),
            ("What happens", self.explanation),
        ]


class TakeDispute(DisputeAct):
    """Makes the actor the one who looks into it."""

    slug, title, step = "take", "Take in hand", "take"
    explanation = "It is yours to look into, and the partner is told that somebody does."
    success_message = "It is yours."

    @classmethod
    def is_offered(cls, target: Dispute, actor: Actor) -> bool:
        """Not to who has it already."""
        return super().is_offered(target, actor) and target.owner_id != actor.user_id

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Takes."""
        return disputes.take_dispute(dispute_id=self.target.pk, actor=actor)


class QuestionForm(forms.Form):
    """What is asked."""

    question = _long("Question to the partner")


class AskPartner(DisputeAct):
    """Asks the partner; the clock stands still."""

    slug, title, step = "ask", "Ask the partner", "ask"
    form_class = QuestionForm
    explanation = "The partner gets the question; the clock stands still until the answer, for two weeks at most."
    success_message = "Asked; the clock stands still."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Asks."""
        return disputes.ask_partner(dispute_id=self.target.pk, question=data["question"], actor=actor)


class AnswerForm(forms.Form):
    """What the partner said."""

    answer = _long("What the partner said")


class AnswerForPartner(DisputeAct):
    """Writes down what a partner said on the telephone."""

    slug, title, step = "answer", "Write the answer down", "answer"
    form_class = AnswerForm
    explanation = "The answer stands on the timeline as written by you, and the clock goes on."
    success_message = "Written down; the clock goes on."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Answers."""
        return disputes.answer_question(dispute_id=self.target.pk, answer=data["answer"], actor=actor)


class MessageForm(forms.Form):
    """What is told."""

    text = _long("Message to the partner")


class WriteToPartner(DisputeAct):
    """A message without a step."""

    slug, title = "write", "Write to the partner"
    form_class = MessageForm
    explanation = "The partner gets the message and sees it on the timeline; the clock goes on."
    success_message = "Sent."

    @classmethod
    def is_offered(cls, target: Dispute, actor: Actor) -> bool:
        """While it is open."""
        return target.is_open

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Writes."""
        return disputes.write_message(dispute_id=self.target.pk, text=data["text"], actor=actor)


class NoteForm(forms.Form):
    """What the desk tells itself."""

    note = _long("Note", help_text="The partner never sees it.")


class NoteDispute(DisputeAct):
    """A note of the desk to itself."""

    slug, title = "note", "Add a note"
    form_class = NoteForm
    explanation = "Only the desk sees it."
    success_message = "Noted."

    @classmethod
    def is_offered(cls, target: Dispute, actor: Actor) -> bool:
        """Always."""
        return True

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Notes."""
        return disputes.note_dispute(dispute_id=self.target.pk, note=data["note"], actor=actor)


class RejectForm(forms.Form):
    """Why the amount stands."""

    reason = _long("Why the amount stands", help_text="The partner reads this.")


class RejectDispute(DisputeAct):
    """Decides that the amount stands."""

    slug, title, tone, step = "reject", "The amount stands", "danger", "reject"
    form_class = RejectForm
    explanation = "The dispute is closed, the amount is free again, and the partner may appeal once."
    success_message = "Decided: the amount stands."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Rejects."""
        return disputes.reject_dispute(dispute_id=self.target.pk, reason=data["reason"], actor=actor)


class CorrectForm(forms.Form):
    """Where the mistake is corrected."""

    correction = forms.ChoiceField(label="Where it is corrected", choices=Correction.choices)
    change = forms.ModelChoiceField(
        ChangeRequest.objects.none(), required=False, label="Change request", empty_label="None",
        help_text="Of a plan or the tree: the request that corrects it. Make it first, then choose it here.",
    )  # fmt: skip
    reason = _long("What was wrong, and how it is corrected", help_text="The partner reads this.")


class CorrectDispute(DisputeAct):
    """Decides that the partner is right."""

    slug, title, step = "correct", "Correct", "correct"
    form_class = CorrectForm
    explanation = (
        "The mistake is corrected where it is; what follows is settled again. The dispute waits for the difference and "
        "closes by itself when it is posted."
    )
    success_message = "Decided: it is corrected, and the dispute closes when the difference is posted."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the requests of this desk that may still come to something, or just did."""
        form = CorrectForm(data)
        own = ChangeRequest.objects.filter(desk="ib", entity_id=self.target.entity_id)
        own = own.exclude(state__in=[ChangeState.REJECTED, ChangeState.WITHDRAWN, ChangeState.REVERTED])
        newest = list(visible_to(own, actor).order_by("-pk").values_list("pk", flat=True)[:CHANGES_OFFERED])
        field: Any = form.fields["change"]
        field.queryset = ChangeRequest.objects.filter(pk__in=newest).order_by("-pk")
        field.label_from_instance = lambda change: f"{change.reference}: {change.title}"
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Where, and by which request."""
        change = data["change"]
        return [
            *super().describe(actor, data),
            ("Corrected in", Correction(data["correction"]).label),
            ("Change request", f"{change.reference}: {change.title}" if change else "none"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Decides."""
        change = data["change"]
        return disputes.correct_dispute(
            dispute_id=self.target.pk,
            correction=data["correction"],
            reason=data["reason"],
            change_reference=change.reference if change else "",
            actor=actor,
        )

    def _refused(self, form: forms.Form, key: str, error: Any) -> Any:
        if error.details.get("field") == "change_reference":
            error.details["field"] = "change"
        return super()._refused(form, key, error)

    def success_text(self, result: Dispute) -> str:
        """Whether the difference was there already."""
        if result.state == DisputeState.CLOSED and result.delta is not None:
            return f"Decided and closed: {format_amount(result.delta, result.currency)} were booked already."
        return self.success_message


class GoodwillForm(forms.Form):
    """How much, and why."""

    amount = forms.DecimalField(min_value=Decimal("0.00000001"), max_digits=24, decimal_places=8)
    reason = _long("Why", help_text="The partner does not read this; the person who approves does.")


class GiveGoodwill(DisputeAct):
    """Proposes an amount that another person approves."""

    slug, title, capability, step = "goodwill", "Give goodwill", PROPOSE, "correct"
    form_class = GoodwillForm
    explanation = "Another person approves it; then it is booked as a line of its own, and the dispute closes."
    success_message = "Handed in: it is booked when another person approves it."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """In the partner's currency."""
        form = GoodwillForm(data)
        form.fields["amount"].label = f"Amount, {self.target.currency}"
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How much."""
        return [*super().describe(actor, data), ("Amount", format_amount(data["amount"], self.target.currency))]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Proposes."""
        return disputes.propose_goodwill(
            dispute_id=self.target.pk, amount=data["amount"], reason=data["reason"], actor=actor
        )


class WithdrawForm(forms.Form):
    """Why the partner takes it back."""

    reason = forms.CharField(label="What the partner said", max_length=500, widget=forms.Textarea(attrs={"rows": 2}))


class WithdrawDispute(DisputeAct):
    """Takes a dispute back for a partner who said so."""

    slug, title, step = "withdraw", "Withdraw for the partner", "withdraw"
    form_class = WithdrawForm
    explanation = "The dispute is closed, the amount is free again, and the partner is told."
    success_message = "Withdrawn."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Withdraws."""
        return disputes.withdraw_dispute(dispute_id=self.target.pk, actor=actor, reason=data["reason"])


class TakeInForm(forms.Form):
    """What a partner said on the telephone."""

    partner: forms.ModelChoiceField[Any] = forms.ModelChoiceField(Partner.objects.none())
    subject = forms.CharField(
        max_length=60, label="Line", help_text="The line's number, or T- and the number of a trade that was not paid."
    )
    cause = forms.ChoiceField(label="What is wrong", choices=DisputeCause.choices)
    claimed_amount = forms.DecimalField(
        required=False, label="What was expected", min_value=Decimal(0), max_digits=24, decimal_places=8
    )
    claim = _long("In the partner's words")


class TakeIn(DeskActionView):
    """Takes a dispute in for a partner."""

    slug, title, button, capability = "take-in", "Take a dispute in", "Take in", HANDLE
    explanation = "As if the partner had opened it: the amount is held, the evidence kept, and the clock runs."
    success_message = "Taken in."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the partners that the actor sees."""
        form = TakeInForm(data)
        form.fields["partner"].queryset = visible_to(Partner.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose, about what."""
        return [
            ("Partner", str(data["partner"])),
            ("About", data["subject"]),
            ("What is wrong", DisputeCause(data["cause"]).label),
            ("In words", data["claim"]),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Opens."""
        return disputes.open_dispute(
            subject=data["subject"].strip(),
            cause=data["cause"],
            claim=data["claim"],
            claimed_amount=data["claimed_amount"] or None,
            partner_id=data["partner"].pk,
            actor=actor,
        )
