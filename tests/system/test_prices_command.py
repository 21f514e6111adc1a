"""`tracecanary prices`, called as a person calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.analytics.lake import write_spans
from tests.system.test_command_line import _run

PRICED = {"kind": "llm", "model": "gpt-4.1", "provider": "openai", "input_tokens": 5, "output_tokens": 5}
TUNED = {**PRICED, "model": 'ft:"x"', "response_model": "ft:x-1"}
HOW = 'Give it one in a price file, which the configuration file names: [prices] file = "prices.toml".'
OWN_PRICE = '[[price]]\nmodel = "ft:*"\nvalid_from = {start}\ninput = 3\noutput = 12\n'


def spans(*models: dict[str, object]) -> list[dict[str, object]]:
    start_ns = 1_780_000_000 * 10**9  # 2026-05-28
    return [
        {"trace_id": "t", "span_id": str(number), "start_unix_ns": start_ns, **model}
        for number, model in enumerate(models)
    ]


def configured(folder: Path, prices: str) -> str:
    (folder / "prices.toml").write_text(prices)
    (folder / "tracecanary.toml").write_text('[prices]\nfile = "prices.toml"\n')
    return str(folder / "tracecanary.toml")


def test_check_names_what_has_no_price_and_how_to_add_one(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_spans(lake, spans(PRICED, TUNED, TUNED, {"kind": "llm", "model": "failed", "status": "error"}))

    done = _run("prices", "check", "--lake", str(lake))

    lines = done.stdout.decode().splitlines()
    assert done.returncode == 1
    assert [line.split() for line in lines if "ft:x-1" in line] == [['ft:"x"', "ft:x-1", "openai", "2"]]
    assert lines[-6:] == [
        "1 of 2 models have no price: what they cost is unknown, not 0. " + HOW,
        "",
        "[[price]]",
        'model = "ft:\\"x\\""',
        "input =   # USD per million tokens",
        "output =  # likewise; 0 for a model without output",
    ]


def test_check_is_content_once_every_model_has_a_price(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_spans(lake, spans(PRICED, TUNED))
    config = configured(tmp_path, OWN_PRICE.format(start="2026-01-01"))

    done = _run("prices", "check", "--lake", str(lake), "--config", config)

    assert (done.returncode, done.stdout.decode()) == (0, f"All 2 models with tokens in {lake} have a price.\n")


def test_a_price_that_begins_too_late_is_none(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    write_spans(lake, spans(TUNED))
    config = configured(tmp_path, OWN_PRICE.format(start="2026-06-01"))

    done = _run("prices", "check", "--lake", str(lake), "--config", config)

    assert done.returncode == 1
    assert f"Add to {tmp_path / 'prices.toml'}:" in done.stdout.decode()


def test_check_of_a_lake_without_tokens(tmp_path: Path) -> None:
    write_spans(tmp_path, spans({"kind": "tool"}))

    done = _run("prices", "check", "--lake", str(tmp_path))

    assert (done.returncode, done.stdout.decode()) == (0, f"No tokens in {tmp_path}.\n")


def test_show_tells_rates_and_where_they_are_from(tmp_path: Path) -> None:
    config = configured(tmp_path, OWN_PRICE.format(start="2026-01-01T08:30:00Z"))

    own = _run("prices", "show", "ft:x", "--config", config)
    tiered = _run("prices", "show", "claude-sonnet-4-5", "--provider", "anthropic")

    assert [line.split() for line in own.stdout.decode().splitlines()[2:5:2]] == [
        ["from", "input", "cached", "written", "output", "reasoning", "source"],
        ["2026-01-01T08:30Z", "3", "3", "3", "12", "12", "file"],
    ]
    assert ["200,000", "6", "0.6", "7.5", "22.5", "22.5", "genai-prices"] in [
        line.split() for line in tiered.stdout.decode().splitlines()
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("show", "my-ft"), "'my-ft' has no price. Give it one in a price file", id="unpriced"),
        pytest.param(("show", "gpt-4.1", "--provider", "vllm"), "'gpt-4.1' of provider 'vllm' has no", id="own server"),
        pytest.param(("check", "--lake", "/absent"), "there is no lake at /absent", id="no lake"),
        pytest.param(("show", "m", "--config", "/absent"), "there is no such file. Check the path", id="no file"),
    ],
)
def test_what_can_not_be_shown_is_said(arguments: tuple[str, ...], message: str) -> None:
    done = _run("prices", *arguments)

    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr
