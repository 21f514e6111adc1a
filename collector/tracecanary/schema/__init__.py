"""What the rooms share: the columns of the lake, its folder layout, and the errors."""

from tracecanary.schema.columns import (
    EVALUATION_COLUMNS,
    SCHEMA_VERSION,
    SPAN_COLUMNS,
    Column,
    ColumnType,
    arrow_schema,
)
from tracecanary.schema.config_file import CONFIG_VARIABLE, ConfigFile, Section, read_config_file
from tracecanary.schema.dimensions import CohortDimension, DimensionSource, read_dimensions
from tracecanary.schema.errors import (
    ConfigFileError,
    ConfigurationError,
    InvalidQuestionError,
    LakeError,
    MalformedInputError,
    StoreError,
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
    "CONFIG_VARIABLE",
    "EVALUATION_COLUMNS",
    "JOURNAL_SUFFIX",
    "SCHEMA_VERSION",
    "SPAN_COLUMNS",
    "CohortDimension",
    "Column",
    "ColumnType",
    "ConfigFile",
    "ConfigFileError",
    "ConfigurationError",
    "DimensionSource",
    "InvalidQuestionError",
    "LakeError",
    "LakeTable",
    "MalformedInputError",
    "Section",
    "StoreError",
    "TraceCanaryError",
    "UnknownArmError",
    "arrow_schema",
    "journal_folder",
    "journal_name",
    "landing_folder",
    "landing_segments",
    "read_config_file",
    "read_dimensions",
    "segment_name",
]
