"""Numbers written as text: percent and currency signs, thousands, decimal commas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from boostloss.losses.validation import Array

SIGNS = "$€£¥₹"
SPACES = " \u00a0\u202f"

PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)
THOUSANDS = re.compile(rf"[+-]?[1-9]\d{{0,2}}([,{SPACES}']\d{{3}})+(\.\d*)?")
"""1,234 and 12,345,678.90"""

DECIMAL_COMMA = re.compile(r"[+-]?(\d*,\d+|\d+,)([eE][+-]?\d+)?")
"""3,14"""

THOUSANDS_DECIMAL_COMMA = re.compile(rf"[+-]?[1-9]\d{{0,2}}([.{SPACES}']\d{{3}})+(,\d*)?")
"""1.234 and 12.345.678,90"""

GROUPING = re.compile(rf"[{SPACES}']")


class Ambiguous(ValueError):
    """Texts that are numbers of one size or another, and why."""


class Parsed(NamedTuple):
    """Numbers, NaN for what is none, and what was taken off, in words."""

    values: Array
    is_number: Array
    remarks: list[str]


def parse(texts: Sequence[str], decimal: str = ".", *, decimal_given: bool = False) -> Parsed:
    """Numbers of texts that have no spaces around them.

    Parameters
    ----------
    texts : sequence of str
    decimal : {".", ","}, default="."
    decimal_given : bool, default=False
        Whether ``decimal`` is certain: 1,234 is a thousand with "." then.

    Raises
    ------
    Ambiguous
        Where all commas could group thousands and could be decimal marks, and where some numbers
        only have a sign of percent or currency.
    """
    bodies, remarks = zip(*map(_body, texts), strict=True) if len(texts) else ((), ())
    plain = (PLAIN if decimal == "." else DECIMAL_COMMA).fullmatch
    whole = re.compile(r"[+-]?\d+").fullmatch
    grouped = (THOUSANDS if decimal == "." else THOUSANDS_DECIMAL_COMMA).fullmatch
    with_comma = [body for body in bodies if "," in body]
    if decimal == "." and not decimal_given and with_comma and _either(with_comma):
        raise Ambiguous(f"{with_comma[0]!r} may be thousands or have a decimal comma")
    values, said = np.full(len(bodies), np.nan), set()
    is_number = np.zeros(len(bodies), bool)
    for i, body in enumerate(bodies):
        if INFINITE.fullmatch(body):
            values[i] = -np.inf if body[0] == "-" else np.inf
        elif plain(body) or whole(body):
            values[i] = float(body.replace(",", "."))
        elif grouped(body):
            mark = "," if decimal == "." else "."
            values[i] = float(GROUPING.sub("", body).replace(mark, "").replace(",", "."))
            said.add("thousands' marks removed")
        else:
            continue
        is_number[i] = True
    signs = {remarks[i] for i in np.flatnonzero(is_number) if values[i] != 0}
    if len(signs) > 1:
        of_each = [next(t for t, r in zip(texts, remarks, strict=True) if r == s) for s in signs]
        raise Ambiguous(f"{' and '.join(map(repr, sorted(of_each)))} may differ in their unit")
    return Parsed(values, is_number, sorted({*said, *signs} - {""}))


def has_decimal_commas(texts: Iterable[str]) -> bool:
    """Whether all texts that look like numbers with a comma are so only with decimal commas."""
    bodies = [_body(text.strip())[0] for text in texts]
    with_comma = [body for body in bodies if "," in body]
    if not with_comma or not all(map(_is_decimal_comma, with_comma)):
        return False
    others = [body for body in bodies if "," not in body]
    numbers = sum(bool(PLAIN.fullmatch(body)) for body in others)
    certain = not all(map(THOUSANDS.fullmatch, with_comma))
    return certain and len(with_comma) + numbers > 0.5 * len(bodies)


def _either(with_comma: list[str]) -> bool:
    return all(_is_decimal_comma(body) and THOUSANDS.fullmatch(body) for body in with_comma)


def _is_decimal_comma(body: str) -> bool:
    matches = DECIMAL_COMMA.fullmatch(body) or THOUSANDS_DECIMAL_COMMA.fullmatch(body)
    return matches is not None


def _body(text: str) -> tuple[str, str]:
    """A number's text without its sign of percent or currency, and what was taken off."""
    if text.endswith("%"):
        return text[:-1].rstrip(SPACES), "percent signs removed, 5% is 5"
    for sign in SIGNS:
        if sign in text:
            before = text.startswith((sign, f"-{sign}", f"+{sign}"))
            if (before or text.endswith(sign)) and text.count(sign) == 1:
                bare = text.replace(sign, "").strip(SPACES)
                return re.sub(rf"^([+-])[{SPACES}]+", r"\1", bare), f"{sign} removed"
    return text, ""
