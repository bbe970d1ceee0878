"""Numbers as text."""

import pytest

from hf_specclip.formatting import (
    format_metric,
    format_number,
    format_range,
    format_with_interval,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.666, "1.67"),
        (-0.0761, "-0.0761"),
        (0.0, "0"),
        (12_345.6, "12,346"),
        (2.345e-5, "2.35e-5"),
        (-3.846e31, "-3.85e31"),
        (1e9, "1.00e9"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert format_number(value) == text


def test_open_intervals_name_their_bound():
    assert format_range(1.5, 2.5) == "1.5 – 2.5"
    assert format_range(1.5, None) == "from 1.5"
    assert format_range(None, 2.5) == "up to 2.5"


def test_metrics_are_percentages_unless_their_name_says_otherwise():
    assert format_metric(0.475, "recall_at_1%") == "47.5%"
    assert format_metric(84.0, "median_rank") == "84.0"
    figure = {"value": 0.475, "low": 0.41, "high": 0.539}
    assert format_with_interval(figure) == "47.5% (41.0% to 53.9%)"
