"""The forms by which a provider's sheet comes in."""

from __future__ import annotations

from typing import Any

from django import forms

from platform_ops.gateways.types import SwapMode
from platform_ops.rules.swap_desk import mode_words
from platform_ops.rules.swap_sheets import Column as SheetColumn
from platform_ops.rules.swap_sheets import DecimalMark, Reading, SignOf

MODES = [(mode.value, mode_words(mode)) for mode in SwapMode if mode is not SwapMode.NONE]


class ReadingForm(forms.Form):
    """How a sheet is to be read."""

    provider = forms.CharField(max_length=80, label="Liquidity provider", help_text="Who stated these rates.")
    pasted = forms.CharField(
        required=False,
        max_length=400_000,
        label="Paste the sheet",
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        help_text="Straight from a spreadsheet or a mail: symbol, long, short; headings help.",
    )
    file = forms.FileField(required=False, label="Or give the file", help_text="CSV or XLSX, at most 2 MB.")
    sign_of = forms.ChoiceField(
        label="Signs",
        choices=[
            (SignOf.CLIENT.value, "Negative: who holds it pays"),
            (SignOf.COST.value, "Positive: who holds it pays"),
        ],
    )
    mode = forms.TypedChoiceField(label="Stated in", coerce=int, choices=MODES, initial=SwapMode.POINTS.value)
    decimal_mark = forms.ChoiceField(
        label="Decimals",
        choices=[
            (DecimalMark.EITHER.value, "Point or comma, where it is plain which"),
            (DecimalMark.POINT.value, "Point; commas part thousands"),
            (DecimalMark.COMMA.value, "Comma; points part thousands"),
        ],
    )
    columns = forms.CharField(
        required=False,
        max_length=40,
        label="Columns",
        help_text="Only where headings do not tell: the letters of symbol, long, short, such as A, D, E.",
    )
    leaves_out_unknown = forms.BooleanField(required=False, label="Leave out names that are none of our symbols")

    def clean_columns(self) -> dict[SheetColumn, int]:
        """Letters as places."""
        given = [part for part in self.cleaned_data["columns"].replace(",", " ").split() if part]
        if not given:
            return {}
        if len(given) != 3 or any(len(part) != 1 or not "A" <= part.upper() <= "P" for part in given):
            raise forms.ValidationError("Three letters from A to P: symbol, long, short.")
        names = (SheetColumn.SYMBOL, SheetColumn.LONG, SheetColumn.SHORT)
        return {name: ord(part.upper()) - ord("A") for name, part in zip(names, given, strict=True)}

    def reading(self) -> Reading:
        """The choices as the rules know them."""
        data = self.cleaned_data
        return Reading(
            columns=data["columns"],
            mode=SwapMode(data["mode"]),
            sign_of=SignOf(data["sign_of"]),
            decimal_mark=DecimalMark(data["decimal_mark"]),
        )


class NewSheetForm(ReadingForm):
    """A sheet, pasted or as a file."""

    def clean(self) -> dict[str, Any]:
        """Exactly one of the two."""
        data = super().clean() or {}
        if bool((data.get("pasted") or "").strip()) == bool(data.get("file")):
            raise forms.ValidationError("Paste the sheet, or give its file.")
        return data


class ReadAgainForm(ReadingForm):
    """The same file, read in another way."""

    provider = None  # type: ignore[assignment]
    pasted = None  # type: ignore[assignment]
    file = None  # type: ignore[assignment]
