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
    OverloadedError,
    StoreError,
    TooLargeError,
    TraceCanaryError,
    UnknownArmError,
)
from tracecanary.schema.layout import (
    JOURNAL_SUFFIX,
    LakeTable,
    journal_folder,
    journal_name,
    landing_folder,
    landing_segments,
    segment_name,
)

__all__ = [
    "EVALUATION_COLUMNS",
    "JOURNAL_SUFFIX",
    "SCHEMA_VERSION",
    "SPAN_COLUMNS",
    "Column",
    "ColumnType",
    "ConfigurationError",
    "InvalidQuestionError",
    "LakeError",
    "LakeTable",
    "MalformedInputError",
    "OverloadedError",
    "StoreError",
    "TooLargeError",
    "TraceCanaryError",
    "UnknownArmError",
    "arrow_schema",
    "journal_folder",
    "journal_name",
    "landing_folder",
    "landing_segments",
    "segment_name",
]
