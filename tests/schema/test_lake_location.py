from pathlib import Path

import pytest

from tracecanary.schema import ConfigurationError, ObjectStoreLake, OtlpServer, parse_file_lake, parse_lake


@pytest.mark.parametrize(
    "setting", ["/data/lake", Path("/data/lake"), "file:///data/lake", "file://localhost/data/lake"]
)
def test_folder_is_a_path(setting: str | Path) -> None:
    assert parse_lake(setting) == Path("/data/lake")


def test_relative_folder_is_made_absolute() -> None:
    assert parse_lake("lake") == Path.cwd() / "lake"


def test_percent_signs_of_a_file_url_are_decoded() -> None:
    assert parse_lake("file:///my%20data/lake") == Path("/my data/lake")


@pytest.mark.parametrize(
    ("setting", "bucket", "prefix", "shown"),
    [
        ("s3://bucket", "bucket", "", "s3://bucket"),
        ("s3://bucket/a/b/", "bucket", "a/b", "s3://bucket/a/b"),
        ("s3://key:secret@bucket/a?secret_key=secret", "bucket", "a", "s3://bucket/a"),
        ("gs://bucket/a", "bucket", "a", "gs://bucket/a"),
        ("abfss://container@account.dfs.core.windows.net/a", "container@account.dfs.core.windows.net", "a", None),
    ],
)
def test_object_store_has_bucket_and_prefix(setting: str, bucket: str, prefix: str, shown: str | None) -> None:
    lake = parse_lake(setting)

    assert isinstance(lake, ObjectStoreLake)
    assert (lake.bucket, lake.prefix) == (bucket, prefix)
    assert str(lake) == shown or shown is None
    assert "secret" not in f"{lake!r} {lake}".replace("secret_key", "")


@pytest.mark.parametrize(
    ("setting", "server"),
    [
        ("otlp://host", OtlpServer(is_grpc=True, is_secure=False, host="host", port=4317)),
        ("otlp://[::1]:99", OtlpServer(is_grpc=True, is_secure=False, host="::1", port=99)),
        ("otlps://host:443", OtlpServer(is_grpc=True, is_secure=True, host="host", port=443)),
        ("http://host:8080", OtlpServer(is_grpc=False, is_secure=False, host="host", port=8080, path="/v1/traces")),
        ("https://host/a/", OtlpServer(is_grpc=False, is_secure=True, host="host", port=443, path="/a/v1/traces")),
        ("http://host/v1/traces", OtlpServer(is_grpc=False, is_secure=False, host="host", port=80, path="/v1/traces")),
    ],
)
def test_server_is_reached_by_grpc_or_http(setting: str, server: OtlpServer) -> None:
    assert parse_lake(setting) == server
    assert parse_lake(str(server)) == server


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        pytest.param("ftp://host/lake", r"unknown scheme 'ftp'\. Use a folder, file://", id="unknown-scheme"),
        pytest.param("file://host/lake", "Use three slashes", id="folder-of-another-host"),
        pytest.param("s3:///lake", "names no bucket", id="no-bucket"),
        pytest.param("s3://bucket/a#b", "write %23", id="fragment"),
        pytest.param("otlp://", "names no host", id="no-host"),
        pytest.param("otlp://host:port", "can't be read", id="port-in-letters"),
        pytest.param("otlp://host/path", "use http://", id="path-for-grpc"),
        pytest.param("http://user:secret@host", "Set TRACECANARY_TOKEN", id="credentials"),
        pytest.param("http://host?a=b", "Leave that out", id="query"),
        pytest.param("s3:/secret@b/x", r"begins with 's3:/', which lacks a slash\. Use a folder, .*s3://", id="slash"),
        pytest.param("OTLP:/host:4317", "lacks a slash", id="slash-in-capitals"),
        pytest.param("file:/data/lake", "lacks a slash", id="slash-of-a-file"),
        pytest.param(
            "s3:secret/x", r"begins with 's3:', which lacks two slashes\. Use a folder, .*s3://", id="slashes"
        ),
        pytest.param("localhost:8080", r"host and a port\. Use http://localhost:8080, or \./localhost", id="no-scheme"),
        pytest.param(Path("s3://bucket/lake"), "Pass it as a text", id="url-in-a-path"),
    ],
)
def test_what_is_no_lake_is_refused_with_the_remedy(setting: str | Path, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy) as refused:
        parse_lake(setting)

    assert "secret" not in str(refused.value)


def test_server_can_be_no_lake_to_read() -> None:
    with pytest.raises(ConfigurationError, match=r"can't be read\. Name the folder or bucket it writes to"):
        parse_file_lake("otlp://host")
