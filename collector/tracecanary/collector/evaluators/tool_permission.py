"""Whether an agent called only the tools it may."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from tracecanary.collector.evaluators.judged import EvaluationResult, JudgedSpan
from tracecanary.schema import ConfigurationError

ANY_AGENT = "*"


class ToolPermissionEvaluator:
    """Judges calls of tools by an allow-list for each agent.

    Args:
        allowed: Names of tools by name of agent; `*` in a tool's name stands for any text. The agent `*` is every one
            that has no list of its own, and spans whose agent nobody knows. Without it, those stay unscored.
        name: Name of the evaluation.
        version: Change it with the lists.
        kinds: By default the tools' own spans. With "llm", the calls that a model asks for are judged before anyone
            makes them: where the content of answers is recorded.

    Raises:
        ConfigurationError: `allowed` is no mapping of names to lists of names.
    """

    def __init__(
        self,
        allowed: Mapping[str, Collection[str]],
        *,
        name: str = "tool_permission",
        version: str = "1",
        kinds: tuple[str, ...] = ("tool",),
    ) -> None:
        problems = [
            f"the tools of agent {agent!r} are {tools!r}, but must be a list of names"
            for agent, tools in allowed.items()
            if isinstance(tools, str) or not all(isinstance(tool, str) for tool in tools)
        ]
        if problems or not allowed:
            raise ConfigurationError(problems or ["no agent may call any tool: give the names of tools by agent"])
        self.name, self.version, self.kinds = name, version, kinds
        self._allowed = {agent: tuple(tools) for agent, tools in allowed.items()}

    def __call__(self, judged: JudgedSpan) -> EvaluationResult | None:
        """Judge the calls of a span."""
        tools = self._allowed.get(judged.agent or ANY_AGENT, self._allowed.get(ANY_AGENT))
        if tools is None or not judged.tool_calls:
            return None
        forbidden = [call.name for call in judged.tool_calls if not any(fnmatchcase(call.name, tool) for tool in tools)]
        if not forbidden:
            return EvaluationResult(passed=True, label="allowed")
        names = ", ".join(dict.fromkeys(forbidden))
        return EvaluationResult(passed=False, label="forbidden", explanation=f"{judged.agent} called {names}")
