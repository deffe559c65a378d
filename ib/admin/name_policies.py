"""What partners read of their clients' names: the policies of the legal entities, and proposing another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import text_column
from backoffice.ui.views import DeskActionView
from ib.admin.forms import day_field
from ib.models import NamePolicy
from ib.models.name_policies import NameDisplayChoice
from ib.rules.masking import NameDisplay, shown_email, shown_login, shown_name
from ib.services import name_policies


class NamePolicyForm(forms.Form):
    """What partners of an entity are to read, and from when on."""

    entity: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Legal entity")
    display = forms.ChoiceField(label="Partners read", choices=NameDisplayChoice.choices)
    valid_from = day_field("From")
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 2}))


class ProposeNamePolicy(DeskActionView):
    """Asks for another policy."""

    slug, title, button, capability = "propose", "Propose what partners read", "Propose", name_policies.MAKER
    explanation = "Another person approves it; until then what is in force stays."
    success_message = "Handed in for approval."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the legal entities that the actor sees."""
        form = NamePolicyForm(data)
        form.fields["entity"].queryset = visible_to(LegalEntity.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What a partner would read of a client."""
        name, email, login = name_policies.EXAMPLE
        display = NameDisplay(data["display"])
        shown = [shown_name(name, display), shown_email(email, display), shown_login(login, display)]
        return [
            ("Legal entity", str(data["entity"])),
            ("From", str(data["valid_from"])),
            ("Partners read", str(NameDisplayChoice(data["display"]).label)),
            ("Of Anna Example", ", ".join(part for part in shown if part) or "the client's number only"),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Hands the change request in."""
        return name_policies.request_name_policy(
            entity_id=data["entity"].pk,
            display=data["display"],
            valid_from=data["valid_from"],
            actor=actor,
            reason=data["reason"],
        )


@admin.register(NamePolicy)
class NamePolicyAdmin(DeskModelAdmin):
    """What partners read of their clients, by legal entity and day."""

    view_capability = "ib.view_partners"
    list_display = ("entity", "display", "from_shown", "to_shown", "approved_by")
    list_select_related = ("entity",)
    list_filter = ("entity", "display")
    search_fields = ("entity__name",)
    list_actions = (ProposeNamePolicy,)
    empty_text = "Nothing was decided: partners read initials, and masked addresses and logins."

    from_shown = text_column("validity__lower", title="From")
    to_shown = text_column("validity__upper", title="Until")
