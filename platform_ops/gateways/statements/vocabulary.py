"""The words of MT5 reports that carry meaning, in the languages the terminal is sold in.

Sections and columns are known by their order; only deal types and directions are words. A word that is not here is
refused by the caller: a deal of an unknown kind is money of an unknown kind.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from platform_ops.types import DealEntry, DealKind

_KIND_WORDS: dict[DealKind, tuple[str, ...]] = {
    DealKind.BUY: ("buy", "compra", "comprar", "kauf", "kaufen", "achat", "acquisto", "compra", "покупка", "kupno",
                   "alış", "alım", "al", "买入", "买", "買入", "買い", "買"),
    DealKind.SELL: ("sell", "venta", "vender", "verkauf", "verkaufen", "vente", "vendita", "venda", "продажа",
                    "sprzedaż", "satış", "satım", "sat", "卖出", "卖", "賣出", "売り", "売"),
    DealKind.BALANCE: ("balance", "saldo", "kontostand", "solde", "bilancio", "баланс", "bakiye", "结余", "余额",
                       "結餘", "残高"),
    DealKind.CREDIT: ("credit", "crédito", "kredit", "crédit", "credito", "кредит", "kredyt", "kredi", "信用", "贷款",
                      "信用额度", "クレジット"),
    DealKind.CHARGE: ("charge", "additional charge", "cargo", "gebühr", "frais", "addebito", "encargo", "начисление",
                      "opłata", "masraf", "费用", "手数料"),
    DealKind.CORRECTION: ("correction", "corrección", "korrektur", "correzione", "correção", "коррекция", "korekta",
                          "düzeltme", "修正", "更正", "訂正"),
    DealKind.BONUS: ("bonus", "bono", "bônus", "бонус", "奖金", "獎金", "ボーナス"),
    DealKind.COMMISSION: ("commission", "comisión", "kommission", "commissione", "comissão", "комиссия", "prowizja",
                          "komisyon", "佣金", "手续费", "コミッション"),
    DealKind.COMMISSION_DAILY: ("daily commission", "commission daily", "comisión diaria", "tägliche kommission",
                                "commission quotidienne", "commissione giornaliera", "comissão diária",
                                "дневная комиссия", "prowizja dzienna", "günlük komisyon", "每日佣金"),
    DealKind.COMMISSION_MONTHLY: ("monthly commission", "commission monthly", "comisión mensual",
                                  "monatliche kommission", "commission mensuelle", "commissione mensile",
                                  "comissão mensal", "месячная комиссия", "prowizja miesięczna", "aylık komisyon",
                                  "每月佣金"),
    DealKind.AGENT_DAILY: ("daily agent commission", "agent daily", "agent commission daily",
                           "comisión de agente diaria", "дневная агентская комиссия"),
    DealKind.AGENT_MONTHLY: ("monthly agent commission", "agent monthly", "agent commission monthly",
                             "comisión de agente mensual", "месячная агентская комиссия"),
    DealKind.INTEREST: ("interest", "interest rate", "interés", "interest earned", "zinsen", "zins", "intérêt",
                        "intérêts", "interessi", "interesse", "juros", "проценты", "odsetki", "faiz", "利息", "金利"),
    DealKind.BUY_CANCELED: ("buy canceled", "buy cancelled", "canceled buy", "compra cancelada", "kauf storniert",
                            "achat annulé", "acquisto annullato", "отмененная покупка", "anulowane kupno"),
    DealKind.SELL_CANCELED: ("sell canceled", "sell cancelled", "canceled sell", "venta cancelada",
                             "verkauf storniert", "vente annulée", "vendita annullata", "venda cancelada",
                             "отмененная продажа", "anulowana sprzedaż"),
    DealKind.DIVIDEND: ("dividend", "dividendo", "dividende", "дивиденд", "dywidenda", "temettü", "股息", "配当"),
    DealKind.DIVIDEND_FRANKED: ("franked dividend", "dividend franked", "dividendo franqueado"),
    DealKind.TAX: ("tax", "impuesto", "steuer", "taxe", "impôt", "tassa", "imposta", "imposto", "налог", "podatek",
                   "vergi", "税", "税金", "稅"),
    DealKind.AGENT: ("agent", "agent commission", "agent instant", "comisión de agente", "агентская комиссия"),
    DealKind.SO_COMPENSATION: ("so compensation", "stop out compensation", "stop-out compensation"),
    DealKind.SO_CREDIT_COMPENSATION: ("so credit compensation", "stop out credit compensation",
                                      "stop-out credit compensation"),
}  # fmt: skip

_ENTRY_WORDS: dict[DealEntry, tuple[str, ...]] = {
    DealEntry.IN: ("in", "entrada", "entry in", "ein", "eingang", "entrée", "ingresso", "entrata", "вход", "wejście",
                   "giriş", "入场", "进场", "進場", "入", "エントリー"),
    DealEntry.OUT: ("out", "salida", "entry out", "aus", "ausgang", "sortie", "uscita", "saída", "выход", "wyjście",
                    "çıkış", "出场", "离场", "出場", "出", "決済"),
    DealEntry.INOUT: ("in/out", "inout", "entrada/salida", "ein/aus", "entrée/sortie", "ingresso/uscita",
                      "entrata/uscita", "entrada/saída", "вход/выход", "разворот", "wejście/wyjście", "giriş/çıkış",
                      "入/出", "反转"),
    DealEntry.OUT_BY: ("out by", "out_by", "outby", "salida por opuesta", "close by", "aus durch", "sortie par",
                       "uscita da", "saída por", "выход по встречной", "закрытие встречной", "出/反向"),
}  # fmt: skip


def _fold(word: str) -> str:
    return unicodedata.normalize("NFKC", " ".join(word.split())).casefold().replace(" / ", "/")


_KINDS: Mapping[str, DealKind] = {_fold(word): kind for kind, words in _KIND_WORDS.items() for word in words}
_ENTRIES: Mapping[str, DealEntry] = {_fold(word): entry for entry, words in _ENTRY_WORDS.items() for word in words}


def deal_kind(word: str) -> DealKind | None:
    """The kind of deal that a report's type word means; None for an unknown word."""
    return _KINDS.get(_fold(word))


def deal_entry(word: str) -> DealEntry | None:
    """What a report's direction word means; None for an unknown word."""
    return _ENTRIES.get(_fold(word))
