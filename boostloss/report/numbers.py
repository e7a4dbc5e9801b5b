"""Parse numbers with percent or currency signs, thousands separators or decimal commas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

# use_model.py contains a copy of what follows

SIGNS = "$€£¥₹"
SPACES = " \u00a0\u202f"

PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
INFINITE = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)
THOUSANDS = re.compile(rf"[+-]?[1-9]\d{{0,2}}([,{SPACES}']\d{{3}})+(\.\d*)?")
"""1,234 and 12,345,678.90."""

DECIMAL_COMMA = re.compile(r"[+-]?(\d*,\d+|\d+,)([eE][+-]?\d+)?")
"""3,14."""

THOUSANDS_DECIMAL_COMMA = re.compile(rf"[+-]?[1-9]\d{{0,2}}([.{SPACES}']\d{{3}})+(,\d*)?")
"""1.234 and 12.345.678,90."""

GROUPING = re.compile(rf"[{SPACES}']")


class Ambiguous(ValueError):
    """Strings can be read as different numbers. The message says why."""


class Parsed(NamedTuple):
    """Numbers, with NaN for other strings, and a description of what was removed."""

    values: Any
    is_number: Any
    remarks: list[str]
    sign: str
    """The sign of percent or currency that all of them have, or \"\"."""


def parse(texts: Sequence[str], decimal: str = ".", *, decimal_given: bool = False) -> Parsed:
    """Parse strings without spaces around them as numbers.

    Parameters
    ----------
    texts : sequence of str
    decimal : {".", ","}, default="."
    decimal_given : bool, default=False
        Whether ``decimal`` is certain. With ".", 1,234 is then read as 1234.

    Raises
    ------
    Ambiguous
        If all commas could be either thousands separators or decimal marks, or if only some of
        the numbers have a percent or currency sign.
    """
    bodies, signs = zip(*map(_body, texts), strict=True) if len(texts) else ((), ())
    plain = (PLAIN if decimal == "." else DECIMAL_COMMA).fullmatch
    whole = re.compile(r"[+-]?\d+").fullmatch
    grouped = (THOUSANDS if decimal == "." else THOUSANDS_DECIMAL_COMMA).fullmatch
    with_comma = [body for body in bodies if _is_number_with_comma(body)]
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
    found = {signs[i] for i in np.flatnonzero(is_number) if values[i] != 0}
    if len(found) > 1:
        of_each = [next(t for t, r in zip(texts, signs, strict=True) if r == s) for s in found]
        raise Ambiguous(f"{' and '.join(map(repr, sorted(of_each)))} may differ in their unit")
    said |= {_removed(sign) for sign in found if sign}
    return Parsed(values, is_number, sorted(said), "".join(found))


def _removed(sign: str) -> str:
    return "percent signs removed, 5% is 5" if sign == "%" else f"{sign} removed"


def has_decimal_commas(texts: Iterable[str]) -> bool:
    """Return whether all strings with a comma are numbers only if it is a decimal comma."""
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


def _is_number_with_comma(body: str) -> bool:
    return "," in body and (_is_decimal_comma(body) or THOUSANDS.fullmatch(body) is not None)


def _is_decimal_comma(body: str) -> bool:
    matches = DECIMAL_COMMA.fullmatch(body) or THOUSANDS_DECIMAL_COMMA.fullmatch(body)
    return matches is not None


def _body(text: str) -> tuple[str, str]:
    """Return a number's text without its percent or currency sign, and the sign."""
    if text.endswith("%"):
        return text[:-1].rstrip(SPACES), "%"
    for sign in SIGNS:
        if sign in text:
            before = text.startswith((sign, f"-{sign}", f"+{sign}"))
            if (before or text.endswith(sign)) and text.count(sign) == 1:
                bare = text.replace(sign, "").strip(SPACES)
                return re.sub(rf"^([+-])[{SPACES}]+", r"\1", bare), sign
    return text, ""
