"""Time limits as people write them, read into `TimeLimit` and written back in plain Chinese.

Catalogues hold limits as free text: "20(工作日)", "当场", "二十日", "15日（延长后不超过30日）". What
cannot be read without guessing is refused, because a wrong limit becomes a wrong promise to a citizen.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import replace

from backend.domain.errors import InvalidInput
from backend.domain.matters import LimitUnit, TimeLimit

#: Longer limits are taken for slips of the pen (the longest in real catalogues is 365 working days).
MAX_AMOUNT = 9999

_NUMERALS = {c: i for i, chars in enumerate(
    ("零〇", "一壹", "二两贰", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
) for c in chars}  # fmt: skip
_TENS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}

_NUMBER = r"(?:\d+(?:\.\d+)?|[" + "".join(_NUMERALS) + "".join(_TENS) + r"]+|半)"
_UNIT = (
    r"个?(?:(?:法定)?工作(?:日|天)|(?:自然|日历)(?:日|天)"
    r"|小时|钟头|分钟|月|星期|礼拜|周|季度|年|日|天)"
)
_QUANTITY = re.compile(
    rf"(?:(?P<low>{_NUMBER})(?:{_UNIT})?[-~—–至到])?(?P<number>{_NUMBER})"
    rf"(?P<unit>{_UNIT}|\((?:{_UNIT})\))"
)
_LABELLED = re.compile(rf"^\(?(?P<unit>{_UNIT})\)?[::]?(?P<number>{_NUMBER})$")
_INSTANT = re.compile(r"当场|即时|即办|立等可取|立即|现场办结|马上办|随到随办|即到即办|当日办|当天办|^当[日天]$")
_NOT_INSTANT = re.compile(r"(?:非|不能|不可|不予|不)(?:当场|即时|立即|即办)")
_NO_LIMIT = re.compile(
    r"^(?:无|没有|无规定|不限|暂无|未规定|未明确|[-—/\\]+|(?:无|没有|暂无|未规定|不设)(?:法定|承诺|办理|办结|明确)*(?:时限|期限|规定)(?:要求|规定)?)$"
)
_A_DATE = re.compile(r"每[周月季年]|[日号](?:之?前|以前)|截止|截至")
_ASIDE = re.compile(r"不含|除外|其中|不计|不包括|不在|公示|公告")
_EXTENSION = re.compile(r"延长|延期|最长|最多|最迟|特殊情况")
_EXTENSION_TOTAL = re.compile(r"延[长期](?:后|至|到)|延[长期]后?(?:不|总)|最长(?:不超过)?(?!可?延)|最多不超过")


def names_no_limit(text: str) -> bool:
    """Whether the text says that there is no limit ("无", "无法定时限", "—") or is empty."""
    plain = _normalise(text)
    return not plain or bool(_NO_LIMIT.match(plain))


def parse_limit(text: str, *, plain_day: LimitUnit = LimitUnit.NATURAL_DAY) -> TimeLimit:
    """Read a limit; `text` is kept as written.

    `plain_day` says what a bare "日" or "天" counts: natural days as a rule; for licensing give
    WORKING_DAY, since the Licensing Law counts all its days so (行政许可法 art. 82). A range means its
    upper end. Fractions round up to the whole unit (minutes to hours), weeks become days, years and
    quarters months.

    Raises `InvalidInput` with what is wrong in words when the text cannot be understood for certain.
    """
    plain = _normalise(text)
    if not plain:
        raise InvalidInput("时限是空的。")
    if _NO_LIMIT.match(plain):
        raise InvalidInput("这里写的是没有规定时限。")
    if _A_DATE.search(plain):
        raise InvalidInput("这里写的是日期，不是办理时限，请写成“20个工作日”这样的形式。")
    if labelled := _LABELLED.match(plain):
        plain = f"{labelled['number']}{labelled['unit']}"

    limit, rest = _base(plain, plain_day)
    extended = _extended(rest, limit)
    return replace(limit, extended_amount=extended, text=text.strip())


def format_limit(limit: TimeLimit) -> str:
    """The limit in plain Chinese: "20个工作日", "当场办结", "15个自然日（延长后不超过30个自然日）"."""
    if limit.unit is LimitUnit.INSTANT:
        return "当场办结"
    unit = _NAMES[limit.unit]
    words = f"{limit.amount}{unit}"
    if limit.extended_amount is not None:
        words += f"（延长后不超过{limit.extended_amount}{unit}）"
    return words


_NAMES = {
    LimitUnit.HOUR: "小时",
    LimitUnit.WORKING_DAY: "个工作日",
    LimitUnit.NATURAL_DAY: "个自然日",
    LimitUnit.MONTH: "个月",
}


def _normalise(text: str) -> str:
    """Full-width forms narrowed (NFKC), brackets made one kind, spaces dropped."""
    plain = unicodedata.normalize("NFKC", text)
    plain = plain.translate(str.maketrans("[]{}〔〕【】「」", "()()()()()"))
    plain = re.sub(r"\s+", "", plain).strip("。.;；")
    return plain[1:-1] if re.fullmatch(r"\([^()]*\)", plain) else plain


def _base(plain: str, plain_day: LimitUnit) -> tuple[TimeLimit, str]:
    """The limit proper and the text after it, in which an extension may stand."""
    outside = re.sub(r"\((?!" + _UNIT + r"\))[^()]*\)", lambda m: "\0" * len(m[0]), plain)
    found: list[tuple[TimeLimit, int]] = []
    for clause in re.finditer(r"[^,;。、，；]+", outside):
        words = clause[0]
        if found and (_EXTENSION.search(words) or _ASIDE.search(words)):
            continue
        for match in _QUANTITY.finditer(words):
            before = words[: match.start()]
            if before.endswith(("-", ".", "个")):  # "-5日", "1..5日", "1个半月"
                raise InvalidInput("时限的数字写得不对。")
            if found and (_EXTENSION.search(before) or _ASIDE.search(before)):
                continue
            found.append((_quantity(match, plain_day), clause.start() + match.end()))
    instant = _INSTANT.search(outside)
    if instant and not _NOT_INSTANT.search(outside):
        if found:
            raise InvalidInput("这里既写了当场办结，又写了天数，无法判断以哪个为准。")
        return TimeLimit(0, LimitUnit.INSTANT), plain[instant.end() :]
    if not found:
        if re.search(r"\d|[一二三四五六七八九十]", plain):
            raise InvalidInput("看不懂这个时限：请写明数字和单位，例如“20个工作日”。")
        raise InvalidInput("看不懂这个时限，请写成“20个工作日”“90个自然日”或“当场办结”。")
    if any((limit.amount, limit.unit) != (found[0][0].amount, found[0][0].unit) for limit, _ in found):
        raise InvalidInput("这里写了不止一个时限，无法判断以哪个为准。")
    return found[0][0], plain[found[0][1] :]


def _extended(rest: str, base: TimeLimit) -> int | None:
    """The total after an extension that `rest` names, in the unit of `base`."""
    for clause in re.split(r"[,;。、，；()]+", rest):
        if not _EXTENSION.search(clause):
            continue
        match = _QUANTITY.search(clause)
        if match is None:
            continue
        if base.unit is LimitUnit.INSTANT:
            raise InvalidInput("当场办结的事项不应写延长时限。")
        # A bare "日" in the extension counts as the limit itself does.
        own_day = base.unit if base.unit is not LimitUnit.MONTH else LimitUnit.NATURAL_DAY
        extension = _quantity(match, own_day)
        if extension.unit is not base.unit:
            raise InvalidInput("延长时限与原时限的单位不同，无法合计。")
        is_total = _EXTENSION_TOTAL.search(clause[: match.start()]) is not None
        total = extension.amount if is_total else base.amount + extension.amount
        if total <= base.amount:
            raise InvalidInput("延长后的时限不比原时限长。")
        return total
    return None


def _quantity(match: re.Match[str], plain_day: LimitUnit) -> TimeLimit:
    number = _number(match["number"])
    unit = match["unit"].strip("()").removeprefix("个").removeprefix("法定")
    if match["low"] is not None and _number(match["low"]) > number:
        raise InvalidInput("时限的范围写反了。")
    if number == 0.5 and unit == "月":
        amount, kind = 15.0, LimitUnit.NATURAL_DAY
    elif unit.startswith("工作"):
        amount, kind = number, LimitUnit.WORKING_DAY
    elif unit.startswith(("自然", "日历")):
        amount, kind = number, LimitUnit.NATURAL_DAY
    elif unit in ("日", "天"):
        amount, kind = number, plain_day
    elif unit in ("小时", "钟头"):
        amount, kind = number, LimitUnit.HOUR
    elif unit == "分钟":
        amount, kind = number / 60, LimitUnit.HOUR
    elif unit in ("星期", "礼拜", "周"):
        amount, kind = number * 7, LimitUnit.NATURAL_DAY
    else:
        amount, kind = number * {"月": 1, "季度": 3, "年": 12}[unit], LimitUnit.MONTH
    whole = math.ceil(amount)
    if whole > MAX_AMOUNT:
        raise InvalidInput("时限的数字太大。")
    return TimeLimit(0, LimitUnit.INSTANT) if whole == 0 else TimeLimit(whole, kind)


def _number(text: str) -> float:
    if text == "半":
        return 0.5
    if text[0].isdigit():
        if len(text) > 12:
            raise InvalidInput("时限的数字太大。")
        return float(text)
    if not any(c in _TENS for c in text):  # read out digit by digit: 二〇
        return float("".join(str(_NUMERALS[c]) for c in text[:12]))
    total = digit = 0
    for char in text:
        if char in _TENS:
            total += (digit or 1) * _TENS[char]
            digit = 0
        else:
            digit = _NUMERALS[char]
    return float(total + digit)
