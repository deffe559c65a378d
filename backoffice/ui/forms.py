"""Gives plain Django forms the desk's look, so that desks write ordinary form classes."""

from __future__ import annotations

from typing import TypeVar

from django import forms
from django.contrib.admin.widgets import AdminDateWidget
from unfold import widgets

from backoffice.ui.formats import EMPTY

DASHES = "---------"  # Django's own words for a choice that nobody made
FormT = TypeVar("FormT", bound=forms.BaseForm)


def desk_widgets(form: FormT) -> FormT:
    """The same form with the desk's widgets in place of Django's plain ones; widgets chosen on purpose stay."""
    for field in form.fields.values():
        if isinstance(field, forms.ModelChoiceField) and field.empty_label == DASHES:
            field.empty_label = "Choose …" if field.required else EMPTY
        widget = field.widget
        styled = _styled(widget)
        if styled is None:
            continue
        styled.is_required = widget.is_required
        styled.is_localized = widget.is_localized
        styled.attrs.update({name: value for name, value in widget.attrs.items() if name != "class"})
        if isinstance(styled, forms.widgets.ChoiceWidget) and isinstance(widget, forms.widgets.ChoiceWidget):
            styled.choices = widget.choices
        field.widget = styled
    return form


def _styled(widget: forms.Widget) -> forms.Widget | None:
    """The desk's widget for exactly Django's own classes."""
    if type(widget) is forms.DateInput:
        return widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"})
    if type(widget) in _PLAIN:
        # The theme has no dress of its own for these: they get ours, and stay what they are.
        widget.attrs["class"] = " ".join(dict.fromkeys([*str(widget.attrs.get("class", "")).split(), "bo-input"]))
        return None
    made = _WIDGETS.get(type(widget))
    return made() if made is not None else None


_PLAIN = frozenset(
    {
        forms.SelectMultiple,
        forms.DateTimeInput,
        forms.PasswordInput,
        forms.FileInput,
        forms.ClearableFileInput,
    }
)
_WIDGETS: dict[type, type[forms.Widget]] = {
    forms.TextInput: widgets.UnfoldAdminTextInputWidget,
    forms.EmailInput: widgets.UnfoldAdminEmailInputWidget,
    forms.NumberInput: widgets.UnfoldAdminDecimalFieldWidget,
    forms.Textarea: widgets.UnfoldAdminTextareaWidget,
    forms.Select: widgets.UnfoldAdminSelectWidget,
    forms.CheckboxSelectMultiple: widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    forms.CheckboxInput: widgets.UnfoldBooleanWidget,
    AdminDateWidget: widgets.UnfoldAdminDateWidget,
}


class ReasonForm(forms.Form):
    """Why: the one question of many actions."""

    reason = forms.CharField(
        max_length=300, widget=forms.Textarea(attrs={"rows": 3}), label="Reason", help_text="Kept in the audit."
    )
