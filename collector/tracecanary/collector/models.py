"""Which model a call belongs to.

Calls are grouped by the model that was *asked for*: a failed call names no other, and grouping by the answer's model
would move every failure out of the release it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

# "gpt-x-2026-11-01", "gpt-x-20261101", "model@version": the dated name a provider answers with.
_VERSION_SUFFIX = re.compile(r"(-\d{4}-\d{2}-\d{2}|-\d{8}|@[\w.-]+)$")
# "gemini-x-001": of Gemini alone, since "text-embedding-ada-002" is the name asked for.
_GEMINI_VERSION = re.compile(r"(?<!^gemini)-00\d$")
_GLOB_CHARACTERS = frozenset("*?[")

# Routers such as LiteLLM put the provider before the model: "openai/gpt-x". A known list, since other names have a
# slash of their own ("meta-llama/Llama-3").
PROVIDER_PREFIXES: frozenset[str] = frozenset(
    {
        "ai21",
        "anthropic",
        "anyscale",
        "azure",
        "azure_ai",
        "azure_text",
        "bedrock",
        "bedrock_converse",
        "cerebras",
        "cloudflare",
        "codestral",
        "cohere",
        "cohere_chat",
        "databricks",
        "deepinfra",
        "deepseek",
        "fireworks_ai",
        "friendliai",
        "gemini",
        "github",
        "github_copilot",
        "google",
        "groq",
        "hosted_vllm",
        "huggingface",
        "jina_ai",
        "litellm_proxy",
        "lm_studio",
        "mistral",
        "models",
        "moonshot",
        "nvidia_nim",
        "ollama",
        "ollama_chat",
        "openai",
        "openrouter",
        "perplexity",
        "predibase",
        "replicate",
        "sagemaker",
        "sagemaker_chat",
        "sambanova",
        "text-completion-openai",
        "together_ai",
        "vertex_ai",
        "vertex_ai_beta",
        "vllm",
        "volcengine",
        "voyage",
        "watsonx",
        "xai",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRules:
    """How names of models become canonical.

    Attributes:
        aliases: Canonical names of models, by exact name or glob; exact names first, then globs in their order. An
            alias is looked up by the name as it came and without its provider's prefix.
        provider_prefixes: Prefixes, without their slash, that a router puts before a model.
        version_suffixes: Globs of further endings that an answer's model has and the requested one has not, such as
            "-preview" or "-v[0-9]*".
        has_dated_answers: Whether "-2026-11-01", "-20261101" and "@version" are such endings.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    provider_prefixes: Collection[str] = PROVIDER_PREFIXES
    version_suffixes: tuple[str, ...] = ()
    has_dated_answers: bool = True


DEFAULT_MODEL_RULES = ModelRules()


def canonical_model(
    request_model: str | None, response_model: str | None, rules: ModelRules = DEFAULT_MODEL_RULES
) -> str | None:
    """Return the model that a call belongs to.

    The model as asked for; else the answer's, without its date or version. Both without prefixes of providers. A date
    that was asked for stays: two dated releases are two arms. An alias of `rules` comes before all of this.
    """
    named = request_model if request_model is not None else response_model
    if named is None:
        return None
    aliases = rules.aliases
    model = without_provider(named, rules.provider_prefixes)
    if aliases:
        alias = _alias(named, aliases) or _alias(model, aliases)
        if alias is not None:
            return alias
    if request_model is not None:
        return model
    plain = _without_version(model, rules)
    return (_alias(plain, aliases) if aliases else None) or plain


def without_provider(model: str, prefixes: Collection[str] = PROVIDER_PREFIXES) -> str:
    """Return `model` without the prefixes of providers that a router puts before it."""
    while True:
        prefix, slash, rest = model.partition("/")
        if not slash or not rest or prefix not in prefixes:
            return model
        model = rest


def _without_version(model: str, rules: ModelRules) -> str:
    if rules.has_dated_answers:
        model = _VERSION_SUFFIX.sub("", model) or model
        if model.startswith("gemini-"):
            model = _GEMINI_VERSION.sub("", model)
    for glob in rules.version_suffixes:
        # From the end on: the shortest ending that fits, and never the whole name.
        for start in range(len(model) - 1, 0, -1):
            if fnmatchcase(model[start:], glob):
                model = model[:start]
                break
    return model


def _alias(model: str, aliases: Mapping[str, str]) -> str | None:
    exact = aliases.get(model)
    if exact is not None:
        return exact
    for pattern, canonical in aliases.items():
        if not _GLOB_CHARACTERS.isdisjoint(pattern) and fnmatchcase(model, pattern):
            return canonical
    return None
