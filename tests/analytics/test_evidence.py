"""Evidence read from rollups equals evidence made trace by trace in plain Python, for any lake, window and question."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.analytics.evidence_reference import ReferenceEvidence, found_histograms, found_sums
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics import gathering, rollup_loading
from tracecanary.analytics.day_blocks import Piece
from tracecanary.analytics.derived_tables import rollup_query
from tracecanary.analytics.evidence import TALLIES, Evidence
from tracecanary.analytics.gathering import gather_evidence
from tracecanary.analytics.question import Question, Selection, time_of, unix_ns
from tracecanary.analytics.rollup_loading import load_piece
from tracecanary.analytics.store import Store

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
FIRST_NS = 20_600 * DAY_NS
Record = dict[str, Any]


def make_trace(rng: random.Random, number: int, *, days: int = 4) -> tuple[list[Record], list[Record]]:
    """Spans and evaluations of one trace: an agent, or not, with a call or two."""
    trace_id = f"{rng.getrandbits(128):032x}"
    start = FIRST_NS + rng.randrange(days * 24) * HOUR_NS + rng.randrange(HOUR_NS)
    has_root = rng.random() < 0.8
    model = ["base", "candidate"][number] if number < 2 else rng.choice(["base", "candidate"])
    shared: Record = {
        "trace_id": trace_id,
        "convention": rng.choice(["otel_genai", "openinference"]),
        "scope_name": rng.choice(["one", "other"]),
        "service_name": rng.choice(["shop", None]),
        "cohort": rng.choice(["eu", "us / east", None]),
        "route": rng.choice(["/chat", "/search", None]),
        "release": rng.choice(["1", "2"]),
        "user_id": f"user-{number % 7}" if rng.random() < 0.3 else None,
        "conversation_id": f"talk-{number}" if rng.random() < 0.3 else None,
        "pair_id": f"pair-{number // 2}" if rng.random() < 0.3 else None,
        "dropped_attributes": rng.choice([0, 0, 1]),
        "sampling_probability": rng.choice([None, 0.5]),
    }
    spans = []
    if has_root:
        spans.append(
            {
                **shared,
                "span_id": "a",
                "kind": "agent",
                "start_unix_ns": start,
                "duration_ns": rng.choice([0, 10**6, 5 * 10**9]),
            }
        )
    spans += [
        {
            **shared,
            "span_id": f"b{place}",
            "parent_span_id": "a" if has_root or rng.random() < 0.5 else None,
            "kind": "llm",
            "model": model if number < 2 or rng.random() < 0.9 else rng.choice(["base", "candidate", "third"]),
            "start_unix_ns": start + place + rng.choice([0, 0, 0, DAY_NS]),
            "duration_ns": rng.randrange(10**10),
            "status": rng.choice(["unset", "unset", "error"]),
            "input_tokens": rng.choice([None, rng.randrange(5000)]),
            "output_tokens": rng.choice([0, rng.randrange(500)]),
            "reported_cost_nano_usd": rng.choice([None, 500, rng.randrange(10**8)]),
            "retry_count": rng.choice([None, None, None, 0, 2]),
            "fallback_used": rng.choice([None, None, None, True]),
        }
        for place in range(rng.randint(1, 3))
    ]
    spans += [
        {
            **shared,
            "span_id": f"c{place}",
            "parent_span_id": "a",
            "kind": "tool",
            "tool_name": "search",
            "tool_version": rng.choice([None, "1", "2"]),
            "start_unix_ns": start + 10 + place,
            "duration_ns": 5,
            "status": rng.choice(["unset", "error"]),
        }
        for place in range(rng.randint(0, 2))
    ]
    evaluations = [
        {
            "trace_id": trace_id if rng.random() < 0.9 else f"{number:032x}",
            "name": rng.choice(["reward", "tone", "thumbs", "escalation"]),
            "version": rng.choice(["1", "1", "2"]),
            "passed": rng.choice([True, False]),
            "source": rng.choice(["code", "human"]),
            "received_unix_ns": again,
        }
        for again in range(rng.randint(0, 3))
    ]
    return spans, evaluations


def deliver(rng: random.Random, lake: Path, traces: int) -> None:
    """Write traces in a few steps, late spans and judgements among them, and derive in between."""
    made = [make_trace(rng, number) for number in range(traces)]
    steps = rng.randint(1, 3)
    for step in range(steps):
        spans = [
            span for members, _ in made for span in members if hash((span["span_id"], span["trace_id"])) % steps == step
        ]
        evaluations = [
            one for _, members in made for one in members if hash((one["name"], one["trace_id"])) % steps == step
        ]
        if spans:
            write_spans(lake, spans)
        if evaluations:
            write_evaluations(lake, evaluations)
        with Store(lake).session():
            pass


def any_time(rng: random.Random) -> datetime:
    return time_of(
        FIRST_NS + rng.choice([DAY_NS * rng.randrange(5), HOUR_NS * rng.randrange(96), rng.randrange(4 * DAY_NS)])
    )


def any_question(rng: random.Random) -> Question:
    begin, end = sorted([any_time(rng), any_time(rng)])
    return Question(
        selection=Selection(
            arms=("base", "candidate"),
            cohort_by=rng.choice([("cohort",), ("route", "cohort"), ("service", "release")]),
            pairs=rng.choice(["all", "all", "with", "without"]),
            routes=rng.choice([(), (), ("/chat",), ("(none)", "/search")]),
            from_time=rng.choice([None, begin]),
            to_time=rng.choice([None, end]) if begin < end else None,
        )
    )


def any_caps(rng: random.Random) -> dict[str, float]:
    buckets = {
        "input_tokens": rng.randrange(300, 390),
        "cost_per_trace": rng.randrange(-150, -100),
        "steps_per_trace": 40,
    }
    return {name: float(2.0 ** ((bucket + 1) / 32)) for name, bucket in buckets.items() if rng.random() < 0.8}


def check(lake: Path, question: Question, caps: Mapping[str, float]) -> Evidence:
    """Gather evidence, compare everything in it with the reference, and return it."""
    with Store(lake).snapshot() as snapshot:
        facts = [row for row in snapshot.session.rows("live_facts_v1") if row["rollup_key"] is not None]
        evidence = gather_evidence(snapshot.session, snapshot.rollups, question, freeze_caps=lambda _: caps)
        unmatched = snapshot.session.rows("unmatched_evaluations_v1")[0]["unmatched"]
    starts = [unix_ns(period.start) for period in evidence.periods if period.start is not None]
    expected = ReferenceEvidence(facts, question, starts, caps=caps)
    by_pair = ReferenceEvidence(facts, question, starts, caps=caps, pairs_first=True)
    arms = question.selection.arms
    paired = Counter(expected.arm(one) for one in expected.traces)
    with_pair = sum(one["pair_id"] is not None for one in expected.traces)
    if not expected.clustering()[1] and by_pair.clustering()[1] and with_pair > min(paired[arm] for arm in arms):
        expected = by_pair
    is_clustered, is_paired = expected.clustering()
    values = evidence.values
    assert (values.sums.is_clustered, values.sums.is_paired) == (is_clustered, is_paired)
    check_sums(found_sums(evidence, arms), expected.sums(is_clustered=is_clustered))
    check_sums(found_sums(evidence, arms, are_tails=True), expected.tails(is_clustered=is_clustered))
    assert found_histograms(evidence, arms, is_by_group=False) == expected.histograms(is_by_group=False)
    assert not is_clustered or found_histograms(evidence, arms, is_by_group=True) == expected.histograms(
        is_by_group=True
    )
    cohorts = [cell.cohort for cell in evidence.cells]
    assert cohorts == sorted({expected.cohort(one) for one in expected.traces})
    places = [(c, p, a) for c in range(len(cohorts)) for p in range(len(evidence.periods)) for a in (0, 1)]
    for found, wanted in zip((values.traces, values.units), expected.counts(), strict=True):
        assert {(cohorts[c], p, arms[a]): found[c, p, a] for c, p, a in places if found[c, p, a]} == wanted
    assert values.unit_share == 1
    check_sides(evidence, expected)
    check_rest(evidence, expected)
    assert evidence.unmatched_evaluations == unmatched
    return evidence


def check_sums(found: Mapping[Any, tuple[float, ...]], expected: Mapping[Any, tuple[float, ...]]) -> None:
    assert found.keys() == expected.keys()
    for key, numbers in expected.items():
        # Cubes of a cost are of whole micro-USD.
        tolerance = 2e-2 if key[3] == "cost_per_trace" else 1e-9
        assert found[key][:3] == pytest.approx(numbers[:3], rel=1e-9, abs=1e-15), key
        assert found[key][3] == pytest.approx(numbers[3], rel=tolerance, abs=1e-15), key


def check_sides(evidence: Evidence, expected: ReferenceEvidence) -> None:
    sides = expected.sides()
    for cell in evidence.cells:
        for arm, side in (("base", cell.base), ("candidate", cell.candidate)):
            wanted = sides.get((cell.cohort or "", arm), {"counts": {}})
            assert {factor: dict(getattr(side, factor)) for factor in TALLIES} == {
                factor: dict(wanted.get(factor, {})) for factor in TALLIES
            }
            for name, count in wanted["counts"].items():
                assert getattr(side, name) == count, name


def check_rest(evidence: Evidence, expected: ReferenceEvidence) -> None:
    assert evidence.values.exact.keys() == expected.quantiles().keys()
    for key, (n, quantiles) in expected.quantiles().items():
        assert evidence.values.exact[key][0] == n
        assert dict(evidence.values.exact[key][1]) == pytest.approx(quantiles)
    hits = {
        key: (found.both, found.base_only, found.candidate_only, found.neither) for key, found in evidence.pairs.items()
    }
    assert hits == {key: tuple(one[name] for name in ("11", "10", "01", "00")) for key, one in expected.pairs().items()}
    newest = max((one["start_unix_ns"] for one in expected.traces), default=None)
    assert evidence.last_trace == (None if newest is None else time_of(newest))
    by_id = {one["trace_id"]: one for one in expected.traces}
    for cell in evidence.cells:
        for arm, ids in (("base", cell.base_examples), ("candidate", cell.candidate_examples)):
            assert all((expected.cohort(by_id[one]), expected.arm(by_id[one])) == (cell.cohort, arm) for one in ids)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_evidence_of_any_lake_equals_the_reference(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  # a test, no secret
    lake = tmp_path_factory.mktemp("lake")
    deliver(rng, lake, rng.choice([8, 40]))

    for _ in range(4):
        check(lake, any_question(rng), any_caps(rng))


def test_examples_are_the_worst_traces(tmp_path: Path) -> None:
    rng = random.Random(7)  # noqa: S311  # a test, no secret
    made = [make_trace(rng, number) for number in range(60)]
    write_evaluations(tmp_path, [one for _, members in made for one in members])
    write_spans(tmp_path, [span for members, _ in made for span in members])
    question = Question(selection=Selection(arms=("base", "candidate")))

    evidence = check(tmp_path, question, {})

    with Store(tmp_path).session() as session:
        facts = [row for row in session.rows("live_facts_v1") if row["rollup_key"] is not None]
    expected = ReferenceEvidence(facts, question, []).examples()
    for cell in evidence.cells:
        for arm, ids in (("base", cell.base_examples), ("candidate", cell.candidate_examples)):
            assert list(ids) == expected.get((cell.cohort or "", arm), [])


@pytest.mark.parametrize("counted_at_once", [gathering.MOST_TRACES_COUNTED, 20])
def test_a_ramp_in_the_middle_of_a_day_makes_periods_that_equal_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted_at_once: int
) -> None:
    monkeypatch.setattr(gathering, "MOST_TRACES_COUNTED", counted_at_once)
    step_ns = FIRST_NS + DAY_NS + 10 * HOUR_NS
    spans = [
        {
            "trace_id": f"{number}",
            "span_id": "a",
            "kind": "llm",
            "start_unix_ns": (start := FIRST_NS + number * HOUR_NS // 8),
            "duration_ns": 10**9 + number,
            "model": "candidate" if number % (16 if start < step_ns else 2) == 0 else "base",
            "cohort": f"c{number % 3}",
            "user_id": f"user {number % 50}",
            "input_tokens": number,
        }
        for number in range(400)
    ]
    write_spans(tmp_path, spans)
    begin, end = time_of(FIRST_NS + 3 * HOUR_NS // 2), time_of(FIRST_NS + 45 * HOUR_NS + 1000)
    question = Question(selection=Selection(arms=("base", "candidate"), from_time=begin, to_time=end))

    evidence = check(tmp_path, question, {"input_tokens": float(2.0 ** (260 / 32))})

    assert [period.start for period in evidence.periods] == [None, datetime.fromtimestamp(step_ns / 1e9, UTC)]
    assert evidence.values.sums.is_paired


def test_a_day_of_many_traces_has_a_sample_of_whole_clusters(tmp_path: Path) -> None:
    def span(number: int) -> Record:
        return {
            "trace_id": f"{number}",
            "span_id": "a",
            "kind": "llm",
            "model": "base" if number % 3 else "candidate",
            "user_id": f"{number % 1500}",
            "start_unix_ns": FIRST_NS + number,
        }

    write_spans(tmp_path, [span(number) for number in range(4500)])
    with Store(tmp_path).session():
        pass
    write_spans(tmp_path, [span(number) for number in range(4500, 4510)])
    question = Question(selection=Selection(arms=("base", "candidate")))

    with Store(tmp_path).snapshot() as snapshot:
        evidence = gather_evidence(snapshot.session, snapshot.rollups, question, freeze_caps=lambda _: {})

    groups = [hashlib.md5(f"tracecanaryuser {number}".encode()).digest()[0] % 128 for number in range(1500)]  # noqa: S324
    sampled = {number for number, group in enumerate(groups) if group < 64}
    in_arm = [{number % 1500 for number in range(4510) if bool(number % 3) is is_base} for is_base in (True, False)]
    assert evidence.values.unit_share == 0.5
    assert evidence.values.units.sum(axis=(0, 1)).tolist() == [len(sampled & users) for users in in_arm]
    assert not evidence.values.sums.is_paired
    assert evidence.values.traces.sum() == 4510


def test_a_piece_of_a_day_hides_nothing_of_the_lake_from_later_queries(tmp_path: Path) -> None:
    spans = [{"trace_id": f"{number}", "start_unix_ns": FIRST_NS + number * HOUR_NS} for number in range(4)]
    write_spans(tmp_path, [{**span, "span_id": "a", "kind": "llm", "model": "base"} for span in spans])

    with Store(tmp_path).snapshot() as snapshot:
        before = snapshot.session.rows(rollup_query("rollup_groups_sum"))
        load_piece(snapshot.session, Piece(from_ns=FIRST_NS, to_ns=FIRST_NS + HOUR_NS))
        after = snapshot.session.rows(rollup_query("rollup_groups_sum"))

    assert sum(row["traces"] for row in before) == 4
    assert after == before


def test_pieces_are_kept_as_long_as_their_rows_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = [{"trace_id": f"{number}", "start_unix_ns": FIRST_NS + number * HOUR_NS} for number in range(3)]
    write_spans(tmp_path, [{**span, "span_id": "a", "kind": "llm", "model": "base"} for span in spans])
    pieces = [Piece(from_ns=FIRST_NS + hour * HOUR_NS, to_ns=FIRST_NS + (hour + 1) * HOUR_NS) for hour in range(3)]

    with Store(tmp_path).snapshot() as snapshot:
        lake, session = snapshot.rollups, snapshot.session
        first = lake.piece(session, pieces[0])
        monkeypatch.setattr(rollup_loading, "MOST_PIECE_ROWS", 2 * first.row_count())
        second = lake.piece(session, pieces[1])
        assert lake.piece(session, pieces[0]) is first

        lake.piece(session, pieces[2])

        assert lake.piece(session, pieces[0]) is first
        assert lake.piece(session, pieces[1]) is not second


def test_what_later_parts_take_away_leaves_no_rounding_behind(tmp_path: Path) -> None:
    def spans(numbers: Iterable[int], span_id: str) -> list[Record]:
        return [
            {
                "trace_id": f"{number}",
                "span_id": span_id,
                "parent_span_id": None if span_id == "a" else "a",
                "kind": "llm" if span_id == "a" else "chain",
                "start_unix_ns": FIRST_NS,
                "model": ("base", "candidate")[number % 2],
                "user_id": f"{number % 40}",
                "input_tokens": number + 3 if span_id == "b" else 10**7 + number**3,
                "reported_cost_nano_usd": number + 3 if span_id == "b" else 10**9 + number**3,
                "duration_ns": 1,
                "status": "error" if span_id == "b" else "ok",
            }
            for number in numbers
        ]

    question = Question(selection=Selection(arms=("base", "candidate")))
    caps = {"input_tokens": float(2.0 ** (745 / 32)), "cost_per_trace": float(2.0 ** (1 / 32))}
    for folder in ("grown", "at once"):
        (tmp_path / folder).mkdir()
        write_spans(tmp_path / folder, spans(range(300), "a"))
        if folder == "grown":
            with Store(tmp_path / folder).snapshot():
                pass
        write_spans(tmp_path / folder, spans(range(0, 300, 3), "b"))

    found = []
    for folder in ("grown", "at once"):
        with Store(tmp_path / folder).snapshot() as snapshot:
            assert len(snapshot.rollups.parts) == (2 if folder == "grown" else 1)
            values = gather_evidence(snapshot.session, snapshot.rollups, question, freeze_caps=lambda _: caps).values
        assert values.tails is not None
        found.append(
            (values.sums.squares, values.sums.cubes, values.tails.total, values.tails.squares, values.tails.cubes)
        )

    assert found[0][1].max() > 2**53
    assert found[0][3].max() > 0
    for grown, at_once in zip(*found, strict=True):
        assert np.array_equal(grown, at_once)
