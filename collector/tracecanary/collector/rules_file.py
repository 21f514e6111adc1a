"""What an installation says about its spans, as the configuration file has it: see `docs/configuration.md`."""

from __future__ import annotations

from tracecanary.collector.conventions.content import is_content
from tracecanary.collector.models import PROVIDER_PREFIXES, ModelRules
from tracecanary.collector.rules import EvaluatorRule, Rules
from tracecanary.schema import ConfigFile, Section, read_dimensions, read_own_metrics

_NO_CONTENT = "that may hold prompts or secrets, which are never stored; declare an attribute without content"


def read_rules(file: ConfigFile) -> Rules:
    """Return what `file` says about spans; problems are noted in `file`."""
    features, cohorts = file.section("features"), file.section("cohorts")
    dimensions = read_dimensions(file)
    for declared in dimensions:
        if is_content(declared.key):
            cohorts.table("dimensions").note(declared.name, declared.key, _NO_CONTENT)
    metrics = read_own_metrics(file)
    for metric in metrics:
        if is_content(metric.attribute):
            file.section("metrics").table(metric.name).note("attribute", metric.attribute, _NO_CONTENT)
    return Rules(
        models=_model_rules(file.section("models")),
        feature_flags=frozenset(features.texts("flags")),
        cohort_tags=cohorts.names("tags"),
        dimensions=dimensions,
        evaluators={name: _evaluator_rule(rule) for name, rule in file.section("evaluators").tables().items()},
        metrics=metrics,
    )


def _model_rules(section: Section) -> ModelRules:
    prefixes = section.texts("provider_prefixes")
    for prefix in prefixes:
        if "/" in prefix:
            section.note("provider_prefixes", prefix, "the part before the first slash is meant, without the slash")
    is_stripping = section.flag("strip_providers", default=True)
    return ModelRules(
        aliases=section.text_map("aliases"),
        provider_prefixes=PROVIDER_PREFIXES.union(prefixes) if is_stripping else frozenset(prefixes),
        version_suffixes=section.texts("version_suffixes"),
        has_dated_answers=section.flag("strip_dates", default=True),
    )


def _evaluator_rule(section: Section) -> EvaluatorRule:
    rule = EvaluatorRule(
        pass_at_least=section.number("pass_at_least"),
        pass_at_most=section.number("pass_at_most"),
        passing_labels=frozenset(label.strip().lower() for label in section.texts("passing_labels")),
    )
    low, high = rule.pass_at_least, rule.pass_at_most
    if low is not None and high is not None and low > high:
        section.note("pass_at_least", low, f"no score is that high and at most {high!r}, too; use one of the two")
    if rule == EvaluatorRule():
        section.note_empty("pass_at_least, pass_at_most or passing_labels")
    return rule
