"""What the rooms share: the columns of the lake, its folder layout, and the errors."""

from tracecanary.schema.columns import (
    EVALUATION_COLUMNS,
    SCHEMA_VERSION,
    SPAN_COLUMNS,
    Column,
    ColumnType,
    arrow_schema,
)
from tracecanary.schema.errors import (
    ConfigurationError,
    InvalidQuestionError,
    LakeError,
    MalformedInputError,
    StoreError,
    TraceCanaryError,
    UnknownArmError,
)
from tracecanary.schema.lake_location import (
    FileLake,
    LakeLocation,
    ObjectStoreLake,
    OtlpServer,
    parse_file_lake,
    parse_lake,
)
from tracecanary.schema.lake_storage import FolderStorage, LakeStorage, StoredFile, lake_storage, sync_folder
from tracecanary.schema.layout import (
    JOURNAL_SUFFIX,
    LakeTable,
    journal_folder,
    journal_name,
    landing_files,
    landing_folder,
    landing_name,
    landing_segments,
    segment_name,
)
from tracecanary.schema.local_copies import Lease, LocalCopies, local_copies

__all__ = [
    "EVALUATION_COLUMNS",
    "JOURNAL_SUFFIX",
    "SCHEMA_VERSION",
    "SPAN_COLUMNS",
    "Column",
    "ColumnType",
    "ConfigurationError",
    "FileLake",
    "FolderStorage",
    "InvalidQuestionError",
    "LakeError",
    "LakeLocation",
    "LakeStorage",
    "LakeTable",
    "Lease",
    "LocalCopies",
    "MalformedInputError",
    "ObjectStoreLake",
    "OtlpServer",
    "StoreError",
    "StoredFile",
    "TraceCanaryError",
    "UnknownArmError",
    "arrow_schema",
    "journal_folder",
    "journal_name",
    "lake_storage",
    "landing_files",
    "landing_folder",
    "landing_name",
    "landing_segments",
    "local_copies",
    "parse_file_lake",
    "parse_lake",
    "segment_name",
    "sync_folder",
]
