from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices
from hypothesis import given, settings
from hypothesis import strategies as st

from tracecanary.analytics.prices import ModelNames, Price, PriceBook, PriceSource, Usage, read_price_file
from tracecanary.analytics.prices.published import published_model

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
PUBLISHED = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    for model in provider.models
    if published_model((model.id,), provider.id) is not None  # some ids are those of a family only
]


def micro_usd(price: Price) -> float | None:
    return None if price.cost_nano_usd is None else price.cost_nano_usd / 1_000


@pytest.mark.parametrize(
    ("model", "provider", "usage", "expected"),
    [
        # by hand, in millionths of a USD: tokens times the provider's published USD per million
        pytest.param("gpt-4.1", "openai", Usage(input_tokens=1_000, output_tokens=100), 2_000 + 800, id="gpt-4.1"),
        pytest.param(
            "gpt-4.1-2025-04-14",
            "openai",
            Usage(input_tokens=1_000, output_tokens=100, cache_read_tokens=200),
            800 * 2 + 200 * 0.5 + 100 * 8,
            id="dated and cached",
        ),
        pytest.param(
            "claude-sonnet-4-5",
            "anthropic",
            Usage(input_tokens=200_000, output_tokens=10, cache_read_tokens=100_000, cache_write_tokens=50_000),
            50_000 * 3 + 100_000 * 0.3 + 50_000 * 3.75 + 10 * 15,
            id="at the limit of the first tier",
        ),
        pytest.param(
            "claude-sonnet-4-5",
            "anthropic",
            Usage(input_tokens=200_001, output_tokens=10, cache_read_tokens=100_000, cache_write_tokens=50_000),
            50_001 * 6 + 100_000 * 0.6 + 50_000 * 7.5 + 10 * 22.5,
            id="in the second tier",
        ),
        pytest.param("text-embedding-3-small", "openai", Usage(input_tokens=1_000), 20, id="embedding"),
        pytest.param(
            "sonar-pro",
            "perplexity",
            Usage(input_tokens=1_000, output_tokens=100),
            14_000 + 1_000 * 3 + 100 * 15,
            id="fee of a request",
        ),
    ],
)
def test_published_prices(model: str, provider: str, usage: Usage, expected: float) -> None:
    price = PriceBook().price_call(usage, ModelNames(model=model, provider=provider), AT)

    assert (micro_usd(price), price.source) == (expected, PriceSource.PUBLISHED)


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        pytest.param("ft:gpt-4.1-2025-04-14:acme::1", "openai", id="fine-tune"),
        pytest.param("gpt-4.1-my-own", "openai", id="named like another"),
        pytest.param("gpt-4.1", "my-own-server", id="unknown provider"),
        pytest.param("gpt-4.1", "vllm", id="own server"),
        pytest.param("whisper-1", "openai", id="not by tokens"),
        pytest.param("my-model", None, id="no provider"),
        pytest.param(None, "openai", id="no model"),
    ],
)
def test_what_has_no_published_price_is_unpriced(model: str | None, provider: str | None) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100)

    assert PriceBook().price_call(usage, ModelNames(model=model, provider=provider), AT) == Price()


@pytest.mark.parametrize(
    ("provider", "model"),
    [("x_ai", "grok-4"), ("gcp.vertex_ai", "gemini-2.5-pro"), ("gcp.gen_ai", "gemini-2.5-pro"), (None, "gpt-4.1")],
)
def test_names_of_providers_that_instrumentations_use_are_known(provider: str | None, model: str) -> None:
    assert published_model((model,), provider) is not None


def test_the_model_that_answered_is_billed() -> None:
    names = ModelNames(model="prod", request_model="prod", response_model="gpt-4.1-2025-04-14", provider="openai")

    assert micro_usd(PriceBook().price_call(Usage(input_tokens=1_000, output_tokens=0), names, AT)) == 2_000


PRICES = """
[[price]]
model = "gpt-*"
input = 50
output = 50
[[price]]
model = "my-*"
provider = "vllm"
input = 1
output = 2
[[price]]
model = "my-*"
provider = "vllm"
valid_from = 2026-06-01
input = 3
output = 4
[[price]]
model = "gpt-4.1"
valid_from = 2026-01-01T08:00:00+02:00
input = 10
output = 20
"""


@pytest.mark.parametrize(
    ("names", "at", "expected"),
    [
        pytest.param(ModelNames(model="my-ft", provider="vllm"), "2026-05-31T23:59:59", 1_000, id="glob"),
        pytest.param(ModelNames(model="my-ft", provider="vllm"), "2026-06-01T00:00:00", 3_000, id="from its day on"),
        pytest.param(ModelNames(model="my-ft", provider="other"), "2026-06-01T00:00:00", None, id="other provider"),
        pytest.param(ModelNames(model="my-ft"), "2026-06-01T00:00:00", None, id="no provider"),
        pytest.param(ModelNames(model="gpt-4.1"), "2026-01-01T05:59:59", 50_000, id="glob until the name has begun"),
        pytest.param(ModelNames(model="gpt-4.1"), "2026-01-01T06:00:00", 10_000, id="a name before a glob"),
        pytest.param(ModelNames(model="x", request_model="gpt-4.1"), "2026-07-01T00:00:00", 10_000, id="asked"),
        pytest.param(ModelNames(model="x", response_model="gpt-9"), "2026-07-01T00:00:00", 50_000, id="answered"),
    ],
)
def test_own_prices(tmp_path: Path, names: ModelNames, at: str, expected: float | None) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)

    price = PriceBook(read_price_file(path)).price_call(Usage(input_tokens=1_000, output_tokens=0), names, moment)

    assert (micro_usd(price), price.source) == (expected, None if expected is None else PriceSource.FILE)


def test_before_an_own_price_begins_the_published_one_holds(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[price]]\nmodel = "gpt-4.1"\nvalid_from = 2026-01-01T08:00:00Z\ninput = 10\noutput = 20')
    book, names = PriceBook(read_price_file(path)), ModelNames(model="gpt-4.1", provider="openai")
    start = datetime(2026, 1, 1, 8, tzinfo=UTC)

    prices = [
        book.price_call(Usage(input_tokens=1_000, output_tokens=0), names, at)
        for at in (start - timedelta(microseconds=1), start)
    ]

    assert prices == [
        Price(cost_nano_usd=2_000_000, source=PriceSource.PUBLISHED),
        Price(cost_nano_usd=10_000_000, source=PriceSource.FILE),
    ]


def test_other_prices_have_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    once, again = PriceBook(read_price_file(path)), PriceBook(read_price_file(path))
    path.write_text(PRICES.replace("input = 10", "input = 11"))

    assert once.fingerprint == again.fingerprint
    assert len({once.fingerprint, PriceBook(read_price_file(path)).fingerprint, PriceBook().fingerprint}) == 3


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="at is 2026-11-01T12:00:00, but must have a time zone"):
        PriceBook().price_call(Usage(), ModelNames(model="gpt-4.1"), AT.replace(tzinfo=None))


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(PUBLISHED),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  the zone is beside it
    st.integers(0, 600_000),
    st.integers(0, 100_000),
    st.tuples(*[st.floats(0, 1)] * 3),
)
def test_published_prices_are_what_the_package_computes(
    found: tuple[str, str], at: datetime, given_tokens: int, made_tokens: int, shares: tuple[float, float, float]
) -> None:
    provider, model = found
    read = int(given_tokens * shares[0])
    written = int((given_tokens - read) * shares[1])
    reasoned = int(made_tokens * shares[2])
    usage = Usage(
        input_tokens=given_tokens,
        output_tokens=made_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoned,
    )
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=given_tokens,
            output_tokens=made_tokens,
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_reasoning_tokens=reasoned,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=at,
    )

    price = PriceBook().price_call(usage, ModelNames(model=model, provider=provider), at)

    if theirs.model_price.input_mtok is None:
        assert price == Price()
    else:
        assert price.cost_nano_usd is not None
        # Half a nano-USD for the call; for a rate such as 1/12 USD also half a pico-USD for each token.
        is_exact = all(rate == round(rate, 6) for rate in rates_of(theirs.model_price))
        allowed = Decimal("0.51") + (0 if is_exact else (given_tokens + made_tokens) * Decimal("0.0005"))
        assert abs(price.cost_nano_usd - theirs.total_price * 10**9) <= allowed


def rates_of(price: ModelPrice) -> list[Decimal]:
    found: list[Decimal] = []
    for value in vars(price).values():
        found += [value] if isinstance(value, Decimal) else []
        found += [value.base, *(tier.price for tier in value.tiers)] if isinstance(value, TieredPrices) else []
    return found
