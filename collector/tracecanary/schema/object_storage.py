"""The files of a lake on an object store, through pyarrow's file systems.

An object appears when its upload is complete, so it needs no second name. That a file must not exist yet, pyarrow can't
ask for: `create` goes through obstore, which only what writes manifests has to have installed.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from tracecanary.schema.errors import ConfigurationError, LakeError
from tracecanary.schema.lake_location import ObjectStoreLake
from tracecanary.schema.lake_storage import StoredFile

if TYPE_CHECKING:
    import pyarrow.fs as pa_fs
    from typing_extensions import Buffer

# A store out of reach is tried again by the caller: waiting long in here would only delay its journal.
_CONNECT_TIMEOUT_S = 5
_REQUEST_TIMEOUT_S = 30
_ATTEMPTS = 3
_GCS_RETRY_LIMIT_S = "30"
# What the stores say, in lower case, and what to do.
_REMEDIES = (
    (("no_such_bucket", "nosuchbucket", "bucket does not exist"), "Make the bucket, or correct the lake's URL."),
    (
        ("access_denied", "accessdenied", "invalid_access_key", "invalidaccesskeyid", "signature", "403", "forbidden"),
        "Check the credentials (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and what they may do here.",
    ),
    (("network", "connect", "timeout", "timed out", "resolve"), "Check endpoint_override and the network."),
)


class ObjectStorage:
    """The files of `lake`. The connection is made at the first use."""

    def __init__(self, lake: ObjectStoreLake) -> None:
        self.lake = lake

    def connect(self) -> None:
        """See `LakeStorage`."""
        _ = self._filesystem

    def files(self, folder: str, *, is_recursive: bool = False) -> list[StoredFile]:
        """See `LakeStorage`."""
        import pyarrow.fs as pa_fs

        selector = pa_fs.FileSelector(self._key(folder), allow_not_found=True, recursive=is_recursive)
        try:
            infos = self._filesystem.get_file_info(selector)
            # A bucket that does not exist lists as an empty one.
            if not infos and self._filesystem.get_file_info(self._bucket).type == pa_fs.FileType.NotFound:
                raise LakeError(f"can't list {self.lake}: no such bucket. {_REMEDIES[0][1]}")
        except _errors() as error:
            raise self._error("list", "", error) from error
        start = len(self._key("")) + 1
        return sorted(
            StoredFile(info.path[start:], info.size, info.mtime_ns or 0)
            for info in infos
            if info.type == pa_fs.FileType.File and not info.base_name.startswith(".")
        )

    def publish(self, name: str, contents: Buffer, *, what: str = "a file") -> None:
        """See `LakeStorage`."""
        try:
            # In one piece: the stream is completed even when its block raises.
            stream = self._filesystem.open_output_stream(self._key(name), compression=None)
            stream.write(contents)
            stream.close()
        except _errors() as error:
            raise self._error(f"write {what} to", name.rpartition("/")[0], error) from error

    def create(self, name: str, contents: Buffer) -> bool:
        """See `LakeStorage`."""
        try:
            import obstore
            from obstore.exceptions import AlreadyExistsError, BaseError
        except ImportError as error:
            raise ConfigurationError(
                [f"the lake {self.lake} needs the package obstore. Install it: pip install 'tracecanary[server]'"]
            ) from error
        try:
            obstore.put(self._conditional_store, name, bytes(contents), mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise self._error("write", name, error) from error
        return True

    def read(self, name: str) -> bytes:
        """See `LakeStorage`."""
        try:
            with self._filesystem.open_input_file(self._key(name)) as stream:
                return stream.read()
        except _errors() as error:
            raise self._error("read", name, error) from error

    def delete(self, name: str) -> None:
        """See `LakeStorage`."""
        try:
            self._filesystem.delete_file(self._key(name))
        except FileNotFoundError:
            return
        except _errors() as error:
            raise self._error("remove", name, error) from error

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self._bucket, self.lake.prefix, name)))

    @property
    def _bucket(self) -> str:
        return self.lake.bucket.partition("@")[0]  # of abfss://container@account, only the container is in paths

    @functools.cached_property
    def _filesystem(self) -> pa_fs.FileSystem:
        import pyarrow.fs as pa_fs

        lake = self.lake
        try:
            if lake.scheme == "s3":
                return _s3_filesystem(lake)
            if lake.scheme in {"gs", "gcs"} and "retry_limit_seconds" not in lake.options:
                separator = "&" if lake.options else "?"
                return pa_fs.FileSystem.from_uri(f"{lake.url}{separator}retry_limit_seconds={_GCS_RETRY_LIMIT_S}")[0]
            return pa_fs.FileSystem.from_uri(lake.url)[0]
        except _errors() as error:
            raise self._error("open", "", error) from error

    @functools.cached_property
    def _conditional_store(self) -> Any:
        from obstore.store import S3Store, from_url

        lake, options = self.lake, self.lake.options
        if lake.scheme != "s3":
            return from_url(urlunsplit(urlsplit(lake.url)._replace(query="")))
        endpoint = options.get("endpoint_override")
        scheme = options.get("scheme", "https")
        access_key, secret_key = _s3_credentials(lake)
        given: dict[str, Any] = {
            "endpoint": f"{scheme}://{endpoint}" if endpoint and "://" not in endpoint else endpoint,
            "region": options.get("region"),
            "access_key_id": access_key,
            "secret_access_key": secret_key,
        }
        return S3Store(
            lake.bucket,
            prefix=lake.prefix or None,
            client_options={"allow_http": scheme == "http", "connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S)},
            retry_config={"max_retries": _ATTEMPTS, "retry_timeout": timedelta(seconds=_REQUEST_TIMEOUT_S)},
            **{name: value for name, value in given.items() if value},
        )

    def _error(self, action: str, name: str, error: Exception) -> LakeError:
        cause = str(error).strip().splitlines()[0][:500] if str(error).strip() else type(error).__name__
        said = str(error).lower()
        remedy = next((remedy for signs, remedy in _REMEDIES if any(sign in said for sign in signs)), _REMEDIES[-1][1])
        where = f"{self.lake}/{name}" if name else str(self.lake)
        return LakeError(f"can't {action} {where}: {cause.rstrip('.')}. {remedy}")


def _s3_filesystem(lake: ObjectStoreLake) -> pa_fs.FileSystem:
    import pyarrow.fs as pa_fs

    options = lake.options
    access_key, secret_key = _s3_credentials(lake)
    region = options.get("region")
    if region is None and "endpoint_override" not in options:
        region = pa_fs.resolve_s3_region(lake.bucket)
    settings: dict[str, Any] = {"allow_delayed_open": True}  # small files take one request
    return pa_fs.S3FileSystem(
        access_key=access_key,
        secret_key=secret_key,
        region=region,
        scheme="http" if options.get("scheme") == "http" else "https",
        endpoint_override=options.get("endpoint_override"),
        retry_strategy=pa_fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        connect_timeout=_CONNECT_TIMEOUT_S,
        request_timeout=_REQUEST_TIMEOUT_S,
        **settings,
    )


def _s3_credentials(lake: ObjectStoreLake) -> tuple[str | None, str | None]:
    """Return those of the URL; None where it has none, and the environment is asked."""
    parts = urlsplit(lake.url)
    access_key = lake.options.get("access_key") or unquote(parts.username or "")
    secret_key = lake.options.get("secret_key") or unquote(parts.password or "")
    return access_key or None, secret_key or None


def _errors() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return (OSError, pa.ArrowException, NotImplementedError)
