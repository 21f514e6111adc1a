"""The answer of a comparison for people: a terminal table, Markdown for a pull request, a page for a browser."""

from tracecanary.api.presentation.markdown import answer_markdown
from tracecanary.api.presentation.report import report_page
from tracecanary.api.presentation.sentences import summary
from tracecanary.api.presentation.terminal import answer_table, answer_view, table_console

__all__ = ["answer_markdown", "answer_table", "answer_view", "report_page", "summary", "table_console"]
