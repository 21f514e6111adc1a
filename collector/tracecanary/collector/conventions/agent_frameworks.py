"""Agent frameworks that follow OpenTelemetry's names, mostly: Google ADK, Strands, Semantic Kernel, OpenAI Agents.

Strands writes itself as the provider, and its time to first token in milliseconds. Google ADK writes the model with its
router's prefix, and its older spans have no operation.
"""

from __future__ import annotations

from tracecanary.collector import attributes as names
from tracecanary.collector.conventions.otel_genai import OPERATION_KINDS, OTEL_COLUMNS, otel_convention
from tracecanary.collector.conventions.table import Convention, Mark, merged, milliseconds

CONVENTIONS: tuple[Convention, ...] = (
    otel_convention(
        "strands",
        Mark(scope="strands*", attributes=(names.OPERATION_NAME,)),
        columns=merged({"time_to_first_token_ns": (milliseconds("gen_ai.server.time_to_first_token"),)}, OTEL_COLUMNS),
    ),
    Convention(
        name="google_adk",
        marks=(Mark(scope="gcp.vertex.agent*"),),
        kind_from=(names.OPERATION_NAME,),
        kinds=OPERATION_KINDS,
        kinds_by_name={"call_llm": "llm", "agent_run": "agent", "invocation": "chain", "execute_tool": "tool"},
        columns=OTEL_COLUMNS,
    ),
    Convention(
        name="semantic_kernel",
        marks=(Mark(scope="semantic_kernel*"),),
        kind_from=(names.OPERATION_NAME,),
        kinds=OPERATION_KINDS,
        kinds_by_name={"AutoFunctionInvocationLoop": "chain"},
        columns=OTEL_COLUMNS,
    ),
    otel_convention(
        "openai_agents",
        Mark(scope="opentelemetry.instrumentation.openai_agents*", attributes=(names.OPERATION_NAME,)),
        Mark(scope="opentelemetry.instrumentation.genai.openai_agents*", attributes=(names.OPERATION_NAME,)),
    ),
)
