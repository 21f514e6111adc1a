"""Whether an answer is JSON, and valid by a schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tracecanary.collector.evaluators.judged import EvaluationResult, JudgedSpan
from tracecanary.schema import ConfigurationError


class JsonSchemaEvaluator:
    """Judges whether the text of an answer is JSON that a schema allows.

    Strict: text around the JSON, such as a Markdown fence, makes it invalid, as it does for a parser. Answers without
    text, such as calls of tools, are not judged. References to other documents are not fetched.

    Args:
        schema: JSON Schema of any draft that `jsonschema` knows; `$schema` says which.
        name: Name of the evaluation: give each schema its own.
        version: Change it with the schema.
        when: Which spans are judged, for instance `lambda judged: judged.agent == "extractor"`. Default: all.
        kinds: Kinds of spans judged.

    Raises:
        ConfigurationError: The schema is none, or `jsonschema` is not installed.
    """

    def __init__(
        self,
        schema: Mapping[str, Any] | bool,  # noqa: FBT001  true and false are schemas
        *,
        name: str = "json_schema",
        version: str = "1",
        when: Callable[[JudgedSpan], bool] | None = None,
        kinds: tuple[str, ...] = ("llm",),
    ) -> None:
        self.name, self.version, self.kinds = name, version, kinds
        self._when = when
        self._validator = _validator(schema)

    def __call__(self, judged: JudgedSpan) -> EvaluationResult | None:
        """Judge the answer of a span."""
        text = judged.output_text
        if text is None or judged.is_error or (self._when is not None and not self._when(judged)):
            return None
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            return EvaluationResult(passed=False, label="not_json")
        error = next(iter(self._validator.iter_errors(answer)), None)
        if error is None:
            return EvaluationResult(passed=True, label="valid")
        # The error's own message quotes the answer.
        return EvaluationResult(passed=False, label="invalid", explanation=f"{error.json_path}: {error.validator}")


def _validator(schema: Mapping[str, Any] | bool) -> Any:  # noqa: FBT001
    try:
        import jsonschema
        from referencing import Registry
    except ImportError as error:
        raise ConfigurationError(
            ["JsonSchemaEvaluator needs jsonschema: pip install 'tracecanary[evaluators]'"]
        ) from error
    kind: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigurationError([f"the JSON schema can't work, at {error.json_path}: {error.message}"]) from error
    return kind(schema, registry=Registry())
