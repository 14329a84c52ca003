"""Codes of matters, organisations and people: reading, checking, masking.

基本编码 12 digits; 实施编码 31 = USCC 18 + 行使层级 1 + 基本编码 12; 业务办理项编码 33 = 实施编码 + 2, as live
catalogues have them (GB/T 39046 still says 10 and 24). Check digits: GB 32100 (USCC), ISO 7064 mod 11-2
(身份证). Error texts never repeat the value: it may be personal data.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

from stdnum.cn import ric, uscc

from backend.domain.errors import InvalidInput

_MATTER_CODE = re.compile(r"([0-9A-Z]{18})([0-9])([0-9]{12})([0-9]{2})?", re.ASCII)
_BASE_CODE = re.compile(r"[0-9]{12}", re.ASCII)
_USCC = re.compile(r"[0-9A-HJ-NPQRTUWXY]{18}", re.ASCII)
_ID_NUMBER = re.compile(r"[1-9][0-9]{16}[0-9X]", re.ASCII)
_MOBILE = re.compile(r"1[3-9][0-9]{9}", re.ASCII)
_LANDLINE = re.compile(r"0[0-9]{2,3}-?[0-9]{7,8}", re.ASCII)

#: 行使层级 (use_level) digits: 1 国 2 省 3 市 4 县 5 镇街 6 村居 7 分级.
LEVEL_DIGITS = "1234567"


@dataclass(frozen=True, slots=True)
class MatterCode:
    """A matter's code taken apart. `warnings` are Chinese sentences about what is odd but usable."""

    code: str
    uscc: str
    level_digit: str
    base_code: str
    item_suffix: str | None = None
    warnings: tuple[str, ...] = ()


def compact(text: str) -> str:
    """Full-width forms narrowed, spaces dropped, letters upper-cased: as codes are compared."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).upper()


def parse_matter_code(code: str) -> MatterCode:
    """Take a 31- or 33-digit matter code apart.

    A failed USCC check digit is a warning: six codes of the real catalogue have one, and they are in use.
    Raises `InvalidInput` for a malformed code.
    """
    plain = compact(code)
    if len(plain) not in (31, 33):
        raise InvalidInput(f"事项编码应为 31 位（实施编码）或 33 位（业务办理项编码），现在是 {len(plain)} 位。")
    match = _MATTER_CODE.fullmatch(plain)
    if match is None:
        raise InvalidInput("事项编码格式不对：前 18 位是统一社会信用代码，之后应全是数字。")
    organisation, level, base, suffix = match.groups()
    if level not in LEVEL_DIGITS:
        raise InvalidInput("事项编码第 19 位（行使层级）应为 1 到 7。")
    warnings = () if is_uscc(organisation) else ("事项编码前 18 位不是有效的统一社会信用代码（校验位不符）。",)
    return MatterCode(plain, organisation, level, base, suffix, warnings)


def check_base_code(code: str) -> str:
    """The 12-digit 基本编码 in compact form. Raises `InvalidInput`."""
    plain = compact(code)
    if not _BASE_CODE.fullmatch(plain):
        raise InvalidInput("基本编码应为 12 位数字。")
    return plain


def is_uscc(code: str) -> bool:
    """Whether a compact code is a valid 统一社会信用代码 (GB 32100 check digit included)."""
    return bool(_USCC.fullmatch(code)) and uscc.is_valid(code)


def check_uscc(code: str) -> str:
    """The 统一社会信用代码 in compact form. Raises `InvalidInput`."""
    plain = compact(code)
    if len(plain) != 18:
        raise InvalidInput("统一社会信用代码应为 18 位。")
    if not is_uscc(plain):
        raise InvalidInput("统一社会信用代码不正确，请核对后重新填写。")
    return plain


def check_id_number(number: str, *, today: date | None = None) -> str:
    """The 居民身份证 number in compact form, its check digit and date of birth verified.

    The first six digits are not looked up: divisions change, and residence permits of 港澳台居民 and
    permanent residents have numbers of the same build. With `today`, a birth in the future is refused.
    Raises `InvalidInput`.
    """
    plain = compact(number)
    if len(plain) != 18:
        raise InvalidInput("身份证号码应为 18 位。")
    if not _ID_NUMBER.fullmatch(plain) or ric.calc_check_digit(plain) != plain[-1]:
        raise InvalidInput("身份证号码不正确，请核对后重新填写。")
    try:
        born = date(int(plain[6:10]), int(plain[10:12]), int(plain[12:14]))
    except ValueError:
        raise InvalidInput("身份证号码中的出生日期不存在，请核对后重新填写。") from None
    if today is not None and born > today:
        raise InvalidInput("身份证号码中的出生日期晚于今天，请核对后重新填写。")
    return plain


def check_phone(number: str) -> str:
    """A mainland mobile or landline number without spaces. Raises `InvalidInput`."""
    plain = compact(number).removeprefix("+86").replace("—", "-")
    if _MOBILE.fullmatch(digits := plain.replace("-", "")):
        return digits
    if _LANDLINE.fullmatch(plain):
        return plain
    raise InvalidInput("电话号码不正确：请填写 11 位手机号，或带区号的固定电话。")


def mask_name(name: str) -> str:
    """王小四 → 王*四, 王四 → 王*."""
    if len(name) <= 1:
        return "*" * len(name)
    return f"{name[0]}*" if len(name) == 2 else f"{name[0]}{'*' * (len(name) - 2)}{name[-1]}"


def mask_phone(phone: str) -> str:
    """15612345677 → 156******77; short numbers keep their last two digits only."""
    head = 3 if len(phone) >= 8 else 0
    return _mask(phone, head, 2)


def mask_id_number(number: str) -> str:
    """First and last character stay: 1****************X."""
    return _mask(number, 1, 1)


def _mask(text: str, head: int, tail: int) -> str:
    if len(text) <= head + tail:
        return "*" * len(text)
    return f"{text[:head]}{'*' * (len(text) - head - tail)}{text[-tail:]}"


def case_number(matter_code: str, local_date: date, serial: int) -> str:
    """办件编号: the matter's code, the legal day, a serial of at least four digits counted from 1."""
    if serial < 1:
        raise ValueError("serials count from 1")
    return f"{matter_code}{local_date:%Y%m%d}{serial:04d}"
