"""Names of attributes, as of the OpenTelemetry GenAI semantic conventions 1.3 (all `gen_ai.*` are in Development).

OpenTelemetry has no convention for retries, fallbacks, cohorts, routes or pairing: those names are ours.
"""

from __future__ import annotations

from typing import Final

# Ours: set by the helpers and read first.
RELEASE_COHORT: Final = "release.cohort"
RELEASE_VARIANT: Final = "release.variant"
RELEASE_PAIR_ID: Final = "release.pair_id"
ROUTE: Final = "gen_ai.route"
RETRY_COUNT: Final = "gen_ai.retry.count"
RETRY_REASON: Final = "gen_ai.retry.reason"
FALLBACK_USED: Final = "gen_ai.fallback.used"
FALLBACK_FROM: Final = "gen_ai.fallback.from"
FALLBACK_TO: Final = "gen_ai.fallback.to"
FALLBACK_REASON: Final = "gen_ai.fallback.reason"
TRAJECTORY_STEP: Final = "agent.trajectory.step"
TRAJECTORY_STEP_NAME: Final = "agent.trajectory.step.name"

EVALUATION_VERSION: Final = "gen_ai.evaluation.version"
EVALUATION_PASSED: Final = "gen_ai.evaluation.passed"
EVALUATION_SOURCE: Final = "gen_ai.evaluation.source"

# Baggage that the processor copies onto every span of a request.
CANARY_BAGGAGE: Final = (RELEASE_COHORT, RELEASE_VARIANT, RELEASE_PAIR_ID)

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
SYSTEM: Final = "gen_ai.system"  # renamed to gen_ai.provider.name after semantic conventions 1.36
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
TOOL_VERSION: Final = "gen_ai.tool.version"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"

# An evaluation: a span event, a log record, or attributes of a span.
EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"
RESPONSE_ID: Final = "gen_ai.response.id"

ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
