"""The page for a browser."""
# ruff: noqa: RUF001 - the texts under test carry a true minus and an en dash

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tracecanary.api.presentation import report_page, summary

if TYPE_CHECKING:
    from tracecanary.analytics.answer import Answer

_JSON = "compare?base=a&candidate=b"
_VOID = {"meta", "rect", "line", "circle", "path", "br", "link", "img"}


class _Page(HTMLParser):
    """Collects tags with their attributes, and the text of every element, by tag name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], " ".join(data.split())))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text_of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


@pytest.mark.parametrize(
    "name",
    [
        *("narrow_answer", "hold_answer", "ship_answer", "roll_back_answer", "empty_arm_answer", "hostile_answer"),
        "side_by_side_answer",
    ],
)
def test_page_is_whole_and_fetches_nothing(request: pytest.FixtureRequest, name: str) -> None:
    answer: Answer = request.getfixturevalue(name)

    html = report_page(answer, json_url=_JSON)

    page = _Page(html)
    assert page.open == []
    assert {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object"} == set()
    assert {attributes["href"] for attributes in page.all("a")} == {_JSON}
    assert re.findall(r"url\(|@import", html) == []
    assert summary(answer) in page.text_of("p")


def test_headline_is_the_verdict_and_the_title_names_the_candidate(narrow_answer: Answer) -> None:
    page = _Page(report_page(narrow_answer, json_url=_JSON))

    assert page.text_of("h1") == ["Narrow the route"]
    assert "Narrow the route: ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm – tracecanary" in page.text_of(
        "title"
    )


def test_every_plotted_line_is_described_in_words(narrow_answer: Answer) -> None:
    page = _Page(report_page(narrow_answer, json_url=_JSON))

    plotted = [attributes for attributes in page.all("svg") if attributes.get("role") == "img"]
    ids = [attributes["id"] for attributes in [*page.all("title"), *page.all("desc")] if "id" in attributes]
    assert len(plotted) == 12
    assert sorted(" ".join(str(svg["aria-labelledby"]) for svg in plotted).split()) == sorted(map(str, ids))
    assert "Effect +12.0 pp, 95 % interval +4.1 … +19.7 pp, margin +1.0 pp: harmful." in page.text_of("desc")


def test_unbounded_side_is_an_arrow_and_says_why(hold_answer: Answer) -> None:
    page = _Page(report_page(hold_answer, json_url=_JSON))

    arrows = [attributes for attributes in page.all("path") if attributes.get("class") == "arrow"]
    assert len(arrows) == 4  # p99 overall and in three cohorts
    assert "p99 has no upper bound below 381 traces an arm" in page.text_of("span")
    assert "Effect +36 %, 95 % interval −19 % … ∞, margin +20 %: too few." in page.text_of("desc")


def test_metric_that_cannot_be_plotted_says_why(hold_answer: Answer) -> None:
    page = _Page(report_page(hold_answer, json_url=_JSON))

    assert page.text_of("span").count("no price for the candidate's model; add it to the price file") == 8
    assert page.text_of("title").count("cost per trace, overall") == 0


def test_every_header_cell_has_a_scope(ship_answer: Answer) -> None:
    page = _Page(report_page(ship_answer, json_url=_JSON))

    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row", "rowgroup"}


def test_hostile_names_stay_text(hostile_answer: Answer) -> None:
    html = report_page(hostile_answer, json_url='compare?base="><script>')

    assert "<script" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|[x](javascript:1) @team `*_" in html


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://example.org/compare", "//example.org/compare"])
def test_link_that_leaves_the_site_is_refused(ship_answer: Answer, url: str) -> None:
    with pytest.raises(ValueError, match="is not relative"):
        report_page(ship_answer, json_url=url)


def test_checks_routing_and_example_traces_are_there(hold_answer: Answer) -> None:
    page = _Page(report_page(hold_answer, json_url=_JSON))

    assert "only 71 % of the candidate's traces were judged" in page.text_of("p")
    assert "base: 140 · share: 0.1235" in page.text_of("p")
    assert page.text_of("code").count("4bf92f3577b34da6a3ce929d0e0e4736") == 3
    assert {"airline", "retail", "telecom"} <= set(page.text_of("li"))


def test_held_out_answers_stand_beside_live_traffic(side_by_side_answer: Answer, narrow_answer: Answer) -> None:
    page, without = (_Page(report_page(answer, json_url=_JSON)) for answer in (side_by_side_answer, narrow_answer))

    assert "Held-out answers and live traffic" in page.text_of("h2")
    assert "Held-out answers and live traffic" not in without.text_of("h2")
    assert [{"−8.0 pp", "+12.0 pp"} <= set(page.text_of("td"))] == [True]
