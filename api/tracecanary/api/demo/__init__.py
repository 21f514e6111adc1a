"""A recorded canary: a base model and its fine-tune on the same tasks, replayed as traces."""

from tracecanary.api.demo.recorded import (
    Greeting,
    LlmCall,
    RecordedCall,
    RecordedRun,
    RequestedTool,
    ToolCall,
    load_runs,
    parse_runs,
)
from tracecanary.api.demo.replay import Outcome, outcomes, replay_runs, replay_tracer_provider

__all__ = [
    "Greeting",
    "LlmCall",
    "Outcome",
    "RecordedCall",
    "RecordedRun",
    "RequestedTool",
    "ToolCall",
    "load_runs",
    "outcomes",
    "parse_runs",
    "replay_runs",
    "replay_tracer_provider",
]
