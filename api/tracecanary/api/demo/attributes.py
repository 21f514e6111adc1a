"""Names that the replay writes: OpenTelemetry GenAI semantic conventions 1.3; the recording's own facts are `tau2.*`.

Spelt out here, not taken from the collector: the replay stands for someone else's instrumentation.
"""

from __future__ import annotations

from typing import Final

SERVICE_NAME: Final = "service.name"
ERROR_TYPE: Final = "error.type"

AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OPERATION_NAME: Final = "gen_ai.operation.name"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_NAME: Final = "gen_ai.tool.name"

# No convention of OpenTelemetry: cost as traceAI names it, the step as tracecanary does.
COST_USD: Final = "gen_ai.cost.total"
STEP: Final = "agent.trajectory.step"

RECORDED_DOMAIN: Final = "tau2.domain"
RECORDED_END: Final = "tau2.end"
RECORDED_ROLE: Final = "tau2.role"
RECORDED_SEED: Final = "tau2.seed"
RECORDED_TASK_ID: Final = "tau2.task_id"
RECORDED_TERMINATION: Final = "tau2.termination"
RECORDED_TRIAL: Final = "tau2.trial"
START_TIME_ORIGIN: Final = "tau2.start_time"
