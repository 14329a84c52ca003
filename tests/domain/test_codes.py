"""Codes, check digits and masks."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.codes import (
    case_number,
    check_base_code,
    check_id_number,
    check_phone,
    check_uscc,
    is_uscc,
    mask_id_number,
    mask_name,
    mask_phone,
    parse_matter_code,
)
from backend.domain.errors import InvalidInput


def test_an_implementation_code_comes_apart() -> None:
    code = parse_matter_code("11450721MB155808114000104002000")
    assert (code.uscc, code.level_digit, code.base_code, code.item_suffix) == (
        "11450721MB15580811",
        "4",
        "000104002000",
        None,
    )
    assert code.warnings == ()


def test_an_item_code_has_a_suffix() -> None:
    code = parse_matter_code(" 11450721mb155808114000104002000０１ ")
    assert code.code == "11450721MB15580811400010400200001"
    assert code.item_suffix == "01"


def test_a_failed_check_digit_is_only_a_warning() -> None:
    code = parse_matter_code("11450721MB155808124000104002000")
    assert code.base_code == "000104002000"
    assert len(code.warnings) == 1


@pytest.mark.parametrize(
    "code",
    [
        "",
        "000104002000",
        "11450721MB15580811400010400200",
        "11450721MB1558081140001040020000",
        "11450721MB15580811A000104002000",
        "11450721MB155808110000104002000",
        "11450721MB155808114X00104002000",
        "11450721MB15580-114000104002000",
    ],
)
def test_a_malformed_matter_code_is_refused(code: str) -> None:
    with pytest.raises(InvalidInput):
        parse_matter_code(code)


def test_a_base_code_has_twelve_digits() -> None:
    assert check_base_code("０00104002000") == "000104002000"
    with pytest.raises(InvalidInput):
        check_base_code("00010400200")


@pytest.mark.parametrize(
    "code",
    [
        "91110000600037341L",
        "91110108551385082Q",
        "11450721MB15580811",
        "11450721348531435D",
        "12441500196720244T",
        "91440105DB0HHKRKA0",  # check character 0: some libraries refuse it
    ],
)
def test_valid_credit_codes(code: str) -> None:
    assert is_uscc(code)
    assert check_uscc(code.lower()) == code


@pytest.mark.parametrize("code", ["91110000600037342L", "9111000060003734IL", "91110000600037341", ""])
def test_invalid_credit_codes(code: str) -> None:
    with pytest.raises(InvalidInput):
        check_uscc(code)


@pytest.mark.parametrize(
    "number", ["11010519491231002X", "360426199101010071", "120103198806018241", "11010519491231002x"]
)
def test_valid_id_numbers(number: str) -> None:
    assert check_id_number(number, today=date(2026, 1, 1)) == number.upper()


@pytest.mark.parametrize(
    "number", ["360426199101010072", "11010519491331002X", "1101051949123100", "X1010519491231002X", ""]
)
def test_invalid_id_numbers_are_not_repeated(number: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_id_number(number)
    assert not number or number not in str(caught.value)


def test_nobody_is_born_tomorrow() -> None:
    with pytest.raises(InvalidInput):
        check_id_number("360426199101010071", today=date(1990, 12, 31))


@given(st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_in_an_id_number_is_noticed(place: int, shift: int) -> None:
    number = "360426199101010071"
    wrong = number[:place] + str((int(number[place]) + shift) % 10) + number[place + 1 :]
    with pytest.raises(InvalidInput):
        check_id_number(wrong)


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("156 1234 5677", "15612345677"),
        ("156-1234-5677", "15612345677"),
        ("+8615612345677", "15612345677"),
        ("１５６12345677", "15612345677"),
        ("020-34121084", "020-34121084"),
    ],
)
def test_phones(typed: str, number: str) -> None:
    assert check_phone(typed) == number


@pytest.mark.parametrize("typed", ["", "12345", "25612345677", "1561234567", "156123456778", "abc"])
def test_what_is_no_phone(typed: str) -> None:
    with pytest.raises(InvalidInput):
        check_phone(typed)


def test_masks() -> None:
    assert [mask_name(n) for n in ("", "王", "王四", "王小四", "欧阳小四")] == ["", "*", "王*", "王*四", "欧**四"]
    assert mask_phone("15612345677") == "156******77"
    assert mask_phone("12345") == "***45"
    assert mask_id_number("11010519491231002X") == "1****************X"


@given(st.text(min_size=1, max_size=30))
def test_a_mask_keeps_the_length_and_hides_something(text: str) -> None:
    for mask in (mask_name, mask_phone, mask_id_number):
        assert len(mask(text)) == len(text) or mask is mask_name
        assert "*" in mask(text)


def test_case_numbers() -> None:
    code = "11450721MB155808114000104002000"
    assert case_number(code, date(2026, 3, 2), 7) == f"{code}202603020007"
    assert case_number(code, date(2026, 3, 2), 12345) == f"{code}2026030212345"
    with pytest.raises(ValueError, match="from 1"):
        case_number(code, date(2026, 3, 2), 0)


def test_every_code_of_a_real_catalogue_is_read(shared_data: Path) -> None:
    rows = [
        json.loads(line)
        for line in (shared_data / "guangdong_items" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    codes = [parse_matter_code(row["task_code"]) for row in rows]
    assert [code.base_code for code in codes] == [row["catalog_id"] for row in rows]
    assert sum(bool(code.warnings) for code in codes) == 6
    assert sum(code.item_suffix is not None for code in codes) == 363
