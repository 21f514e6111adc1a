"""What the setting `lake` may be: a folder, a place on an object store, or a server that takes OTLP. Pure.

Locations are values: nothing is opened, and nothing shows the secrets that a URL may hold.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from tracecanary.schema.errors import ConfigurationError

DEFAULT_OTLP_GRPC_PORT = 4317  # OTLP specification, "OTLP/gRPC Default Port"
_TRACES_PATH = "/v1/traces"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What pathlib leaves of a URL.
_URL_AS_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/[^/]")
_OBJECT_STORE_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")
_S3_OPTIONS = frozenset({"region", "scheme", "endpoint_override", "access_key", "secret_key"})
_OTLP_SCHEMES = ("otlp", "otlps", "http", "https")
# Would be taken for a folder called "s3:".
_URL_LACKING_SLASHES = re.compile(
    rf"({'|'.join(('file', *_OBJECT_STORE_SCHEMES, *_OTLP_SCHEMES))}):/?(?!/)", re.IGNORECASE
)
# Would be taken for a folder called "localhost:8080".
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+:[0-9]+(/.*)?")
_FORMS = (
    "a folder, file:///folder, s3://bucket/prefix, gs://bucket/prefix, abfss://container@account/prefix, "
    "or, to send by OTLP, otlp://host:4317 (gRPC; otlps:// with TLS), http://host:port or https://host:port"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStoreLake:
    """A lake on an object store.

    Attributes:
        scheme: s3, gs, gcs, abfs or abfss.
        bucket: Bucket, or container.
        prefix: What stands before every name in it, without slashes at its ends; "" for none.
        options: What the URL says after "?", such as region and endpoint_override.
        url: The URL as given, secrets included.
    """

    scheme: str
    bucket: str
    prefix: str
    options: Mapping[str, str] = field(repr=False, hash=False)
    url: str = field(repr=False)

    def __str__(self) -> str:
        return "/".join(filter(None, (f"{self.scheme}://{self.bucket}", self.prefix)))


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpServer:
    """A server that spans are sent to by OTLP.

    Attributes:
        is_grpc: Whether by gRPC, else by HTTP.
        is_secure: Whether by TLS.
        host: Name or address.
        port: TCP port.
        path: Path of the traces endpoint; "" for gRPC.
    """

    is_grpc: bool
    is_secure: bool
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        scheme = "otlp" if self.is_grpc else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}{'s' if self.is_secure else ''}://{host}:{self.port}{self.path}"


FileLake: TypeAlias = Path | ObjectStoreLake
LakeLocation: TypeAlias = Path | ObjectStoreLake | OtlpServer


def parse_lake(setting: str | os.PathLike[str]) -> LakeLocation:
    """Return what `setting` names.

    Raises:
        ConfigurationError: It is no lake, with the forms that are.
    """
    text = os.fspath(setting)
    if not isinstance(setting, str) and _URL_AS_PATH.match(text):
        raise ConfigurationError([f"the lake {text!r} is a URL in a Path, which has lost a slash. Pass it as a text"])
    has_typo = _URL_LACKING_SLASHES.match(text)
    if has_typo:
        missing = "a slash" if has_typo[0].endswith("/") else "two slashes"
        raise ConfigurationError([f"the lake begins with {has_typo[0]!r}, which lacks {missing}. Use {_FORMS}"])
    if isinstance(setting, str) and _HOST_AND_PORT.fullmatch(text):
        raise ConfigurationError(
            [f"the lake {text!r} is a host and a port. Use http://{text}, or ./{text} for a folder of that name"]
        )
    has_scheme = _SCHEME.match(text)
    if not has_scheme:
        return Path(text).absolute()
    scheme = has_scheme.group(1).lower()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError([f"the lake is a URL that can't be read: {error}. Use {_FORMS}"]) from error
    if scheme == "file":
        return _folder(parts)
    if scheme in _OBJECT_STORE_SCHEMES:
        return _object_store(parts, scheme, text)
    if scheme in _OTLP_SCHEMES:
        return _otlp_server(parts, scheme)
    raise ConfigurationError([f"the lake {_without_secrets(parts)!r} has the unknown scheme {scheme!r}. Use {_FORMS}"])


def parse_file_lake(setting: str | os.PathLike[str]) -> FileLake:
    """Return the lake that `setting` names, for what reads or writes files.

    Raises:
        ConfigurationError: It is no lake, or a server that takes OTLP.
    """
    lake = parse_lake(setting)
    if isinstance(lake, OtlpServer):
        raise ConfigurationError(
            [f"the lake {lake} is a server to send spans to, and can't be read. Name the folder or bucket it writes to"]
        )
    return lake


def _folder(parts: SplitResult) -> Path:
    if parts.netloc not in {"", "localhost"} or not parts.path:
        raise ConfigurationError(
            [f"the lake {_without_secrets(parts)!r} names no local folder. Use three slashes: file:///path/to/lake"]
        )
    return Path(unquote(parts.path)).absolute()


def _object_store(parts: SplitResult, scheme: str, text: str) -> ObjectStoreLake:
    bucket = parts.netloc.rpartition("@")[2] if not scheme.startswith("abfs") else parts.netloc
    if not bucket:
        raise ConfigurationError([f"the lake {text!r} names no bucket. Use {scheme}://bucket/prefix"])
    if parts.fragment:
        raise ConfigurationError([f"the lake {_without_secrets(parts)!r} has a '#': write %23"])
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - _S3_OPTIONS) if scheme == "s3" else []
    if unknown:
        raise ConfigurationError(
            [f"the lake {_without_secrets(parts)!r} has the unknown option {unknown[0]!r}. Use {sorted(_S3_OPTIONS)}"]
        )
    return ObjectStoreLake(
        scheme=scheme,
        bucket=bucket,
        prefix=unquote(parts.path).strip("/"),
        options=options,
        url=text,
    )


def _otlp_server(parts: SplitResult, scheme: str) -> OtlpServer:
    shown = _without_secrets(parts)
    problems = []
    if not parts.hostname:
        problems.append(f"the lake {shown!r} names no host. Use {scheme}://host:port")
    if parts.username is not None or parts.password is not None:
        problems.append(f"the lake {shown!r} holds credentials. Set TRACECANARY_TOKEN in place of them")
    if parts.query or parts.fragment:
        problems.append(f"the lake {shown!r} goes on after '?' or '#'. Leave that out")
    is_grpc = scheme.startswith("otlp")
    path = parts.path.rstrip("/")
    if is_grpc and path:
        problems.append(f"the lake {shown!r} has a path, which gRPC has no use for. Leave it out, or use http://")
    if problems:
        raise ConfigurationError(problems)
    is_secure = scheme in {"otlps", "https"}
    if is_grpc:
        port = parts.port or DEFAULT_OTLP_GRPC_PORT
    else:
        port = parts.port or (443 if is_secure else 80)
        path = path if path.endswith(_TRACES_PATH) else path + _TRACES_PATH
    return OtlpServer(is_grpc=is_grpc, is_secure=is_secure, host=parts.hostname or "", port=port, path=path)


def _without_secrets(parts: SplitResult) -> str:
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
