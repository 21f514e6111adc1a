from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracecanary.analytics.prices import PriceEntry, Rates, RateTier, read_price_file
from tracecanary.api.config import service_settings
from tracecanary.schema import ConfigFileError

DOCS = Path(__file__).parents[3] / "docs"


def written(folder: Path, text: str) -> Path:
    path = folder / "prices.toml"
    path.write_text(text)
    return path


def test_the_documented_file_has_the_documented_meaning(tmp_path: Path) -> None:
    example = (DOCS / "prices.md").read_text().split("```toml\n")[1].split("```")[0]

    (entry,) = read_price_file(written(tmp_path, example))

    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert entry == PriceEntry(
        model="ft:gpt-4.1-2025-04-14:*",
        provider="openai",
        valid_from_unix_ns=int(start.timestamp()) * 10**9,
        tiers=(
            RateTier(
                input_tokens_from=0,
                rates=Rates(
                    input=3_000_000,
                    cached_input=750_000,
                    cache_write=3_000_000,
                    output=12_000_000,
                    reasoning=12_000_000,
                ),
            ),
            RateTier(
                input_tokens_from=200_001,
                rates=Rates(
                    input=6_000_000,
                    cached_input=750_000,
                    cache_write=3_000_000,
                    output=18_000_000,
                    reasoning=12_000_000,
                ),
            ),
        ),
    )


def test_rates_that_are_left_out_follow_input_and_output_in_each_tier(tmp_path: Path) -> None:
    text = """
    [[price]]
    model = "m"
    input = 0.1
    output = 0.4
    [[price.tiers]]
    above_input_tokens = 1000
    input = 0.2
    """

    ((base, tier),) = [entry.tiers for entry in read_price_file(written(tmp_path, text))]

    assert base.rates == Rates(
        input=100_000, cached_input=100_000, cache_write=100_000, output=400_000, reasoning=400_000
    )
    assert tier.rates == Rates(
        input=200_000, cached_input=200_000, cache_write=200_000, output=400_000, reasoning=400_000
    )


PRICE = '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[price]\nmodel = 'm'", "but must be a list of tables, each begun by [[price]]", id="no list"),
        pytest.param("[[prices]]", "[prices] is no section. Did you mean price?", id="name"),
        pytest.param("[[price]]\ninput = 1\noutput = 1", "[price 1] model is missing. Add it: model =", id="no model"),
        pytest.param(
            '[[price]]\nmodel = "m"\noutput = 1', "[price 1] input is missing. Add it: input =", id="no input"
        ),
        pytest.param(
            '[[price]]\nmodel = "m"\ninput = 1', "[price 1] output is missing. Add it: output", id="no output"
        ),
        pytest.param(PRICE + "inputs = 2", "[price 1] inputs is no key of this section. Did you mean input?", id="key"),
        pytest.param(
            PRICE + "reasoning = -1", "[price 1] reasoning is -1, but must be a number from 0 to 4,000", id="negative"
        ),
        pytest.param(PRICE + "cached_input = 5000.5", "cached_input is 5000.5, but must be a number", id="too high"),
        pytest.param(PRICE + "cache_write = 0.0000001", "with at most 6 decimals", id="too fine"),
        pytest.param(PRICE + "cache_write = nan", "cache_write is nan, but must be a number", id="nan"),
        pytest.param(PRICE + "cache_write = '1'", "cache_write is '1', but must be a number", id="text"),
        pytest.param(PRICE + "valid_from = '2026'", "valid_from is '2026', but must be a date, or a time", id="date"),
        pytest.param(
            PRICE + "valid_from = 2026-01-01T00:00:00", "valid_from is 2026-01-01T00:00:00, but must be a", id="offset"
        ),
        pytest.param(PRICE + "tiers = 1", "[price 1] tiers is 1, but must be a list of tables", id="tiers"),
        pytest.param(PRICE + "[[price.tiers]]", "[price 1.tiers 1] above_input_tokens is missing", id="tier"),
        pytest.param(
            PRICE + "[[price.tiers]]\nabove_input_tokens = 5\n[[price.tiers]]\nabove_input_tokens = 4",
            "[price 1.tiers 2] above_input_tokens is 4, but tiers must ascend",
            id="order",
        ),
        pytest.param(PRICE + PRICE, "[price 2] is a second price of 'm' from the same time on", id="twice"),
    ],
)
def test_what_is_no_price_is_named_with_its_remedy(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigFileError) as raised:
        read_price_file(written(tmp_path, text))

    assert any(problem in found for found in raised.value.problems)


def test_the_rates_of_a_tier_that_begins_nowhere_are_not_called_unknown(tmp_path: Path) -> None:
    text = PRICE + "[[price.tiers]]\nabove_input_tokens = -5\ninput = 1\noutput = 2"

    with pytest.raises(ConfigFileError) as raised:
        read_price_file(written(tmp_path, text))

    [problem] = raised.value.problems
    assert "[price 1.tiers 1] above_input_tokens is -5, but must be a number" in problem


def test_the_configuration_file_names_what_is_wrong_in_the_price_file(tmp_path: Path) -> None:
    prices = written(tmp_path, "[[price]]\nmodel = 'm'\ninput = true\noutput = 1")
    config = tmp_path / "tracecanary.toml"
    config.write_text("[prices]\nfile = 'prices.toml'\n[modles]")

    with pytest.raises(ConfigFileError) as raised:
        service_settings(config)

    assert raised.value.problems == (
        f"{prices}: [price 1] input is true, but must be a number from 0 to 4,000 with at most 6 decimals",
        "[modles] is no section. Did you mean models?",
    )
