"""Which attributes hold an evaluation: of a span event, of a log record, or of a span itself.

To read another library's evaluations, add a form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tracecanary.collector import attributes as names


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationForm:
    """One way to attach an evaluation.

    Each field has its attributes in order of precedence. The form is there if one of `marks` is.

    Attributes:
        marks: Attributes that tell a result; a name alone is none.
        judges_trace: Whether the whole trace was judged, not the span that carries the evaluation.
        verdicts: Labels that mean something of their own here.
        default_name: Name of an evaluation that has none.
    """

    marks: tuple[str, ...]
    name: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    score: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    explanation: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    judged_span: tuple[str, ...] = ()
    response_id: tuple[str, ...] = ()
    judges_trace: bool = False
    verdicts: Mapping[str, bool] = field(default_factory=dict)
    default_name: str | None = None


FORMS: Final[tuple[EvaluationForm, ...]] = (
    # OpenTelemetry, and with it traceAI and fi.evals 1.x; version, passed and source are ours.
    EvaluationForm(
        marks=(
            names.EVALUATION_SCORE,
            names.EVALUATION_LABEL,
            names.EVALUATION_PASSED,
            "gen_ai.evaluation.score",
            "gen_ai.evaluation.label",
        ),
        name=(names.EVALUATION_NAME,),
        version=(names.EVALUATION_VERSION,),
        score=(names.EVALUATION_SCORE, "gen_ai.evaluation.score"),
        label=(names.EVALUATION_LABEL, "gen_ai.evaluation.label"),
        passed=(names.EVALUATION_PASSED,),
        explanation=(names.EVALUATION_EXPLANATION,),
        source=(names.EVALUATION_SOURCE,),
        judged_span=("gen_ai.evaluation.target_span_id",),
        response_id=(names.RESPONSE_ID,),
    ),
    # traceAI's guardrails.
    EvaluationForm(
        marks=("gen_ai.guardrail.result",),
        name=("gen_ai.guardrail.name", "gen_ai.guardrail.type"),
        score=("gen_ai.guardrail.score",),
        label=("gen_ai.guardrail.result",),
        verdicts={"allow": True, "allowed": True, "block": False, "blocked": False},
        default_name="guardrail",
    ),
)

# OpenInference: `evaluations.0.evaluation.score` and the like; what a session was judged by counts for the trace.
INDEXED_EVALUATION: Final = re.compile(
    r"(?P<start>(?P<scope>trace\.|session\.)?(?:evaluations\.[0-9]{1,4}\.evaluation|annotations\.[0-9]{1,4}\.annotation))"
    r"\.(?:score|label)"
)
# fi.evals before it took OpenTelemetry's names: `eval.toxicity` with `eval.toxicity.reason` or `.latency_ms`.
NAMED_EVALUATION: Final = re.compile(r"(?P<start>eval\.(?P<name>[^.]{1,128}))\.(?:reason|latency_ms)")
_NAMED_VERSION = "eval.evaluator_version"

# Spans whose output is a list of scores, as Phoenix's evaluators write it.
EVALUATOR_KINDS: Final = ("openinference.span.kind", "gen_ai.span.kind", "fi.span.kind")
EVALUATOR_KIND: Final = "EVALUATOR"
EVALUATOR_OUTPUT: Final = "output.value"
# The fields of one score in such an output, or in the feedback of other tools.
SCORE_FORM: Final = EvaluationForm(
    marks=("score", "label"),
    name=("name",),
    score=("score",),
    label=("label",),
    explanation=("explanation",),
    source=("kind", "source", "annotator_kind"),
)

SOURCES: Final[Mapping[str, str]] = {
    "code": "code",
    "heuristic": "code",
    "llm": "llm",
    "human": "human",
    "user": "human",
}


def indexed_form(start: str, *, judges_trace: bool) -> EvaluationForm:
    """Return the form of OpenInference's attributes that start with `start`."""
    return EvaluationForm(
        marks=(f"{start}.score", f"{start}.label"),
        name=(f"{start}.name",),
        version=(f"{start}.identifier",),
        score=(f"{start}.score",),
        label=(f"{start}.label",),
        explanation=(f"{start}.explanation",),
        source=(f"{start}.annotator_kind",),
        judges_trace=judges_trace,
    )


def named_form(start: str, name: str) -> EvaluationForm:
    """Return the form of an evaluation whose name is part of the attribute `start`."""
    return EvaluationForm(
        marks=(start,),
        version=(_NAMED_VERSION,),
        score=(start,),
        explanation=(f"{start}.reason",),
        default_name=name,
    )
