"""Compiles `_packed` when a wheel is built or an editable installation made; without a C compiler, nothing is lost.

Everything that the extension does, the collector does without it, too, at a higher cost. So whatever keeps
it from being compiled is told and never fails an installation.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER = Path("collector/tracecanary/collector")
_MODULE = "_packed"


class ExtensionHook(BuildHookInterface[Any]):
    """Adds the compiled extension to wheels, and puts it beside its source for editable installations."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the extension, if that is possible here."""
        folder = Path(self.root) / _FOLDER
        name = f"{_MODULE}{sysconfig.get_config_var('EXT_SUFFIX')}"
        if version == "editable":
            # This file, too: it says how the sources are compiled.
            sources = [Path(self.root) / "hatch_build.py", *folder.glob(f"{_MODULE}*.[ch]")]
            newest_s = max(path.stat().st_mtime for path in sources)
            target = folder / name
            if not target.exists() or target.stat().st_mtime < newest_s:
                self._compile(target)
            return
        self._folder = tempfile.TemporaryDirectory()
        target = Path(self._folder.name) / name
        if self._compile(target):
            build_data["force_include"][str(target)] = f"tracecanary/collector/{name}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        """Remove what was made on the way."""
        if version != "editable":
            self._folder.cleanup()

    def _compile(self, target: Path) -> bool:
        if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
            return False
        variables = [sysconfig.get_config_var(name) for name in ("LDSHARED", "CFLAGS", "CCSHARED")]
        if not all(variables):  # Windows
            return False
        # Under another name first: a process that has loaded the old one keeps it.
        made = target.with_suffix(".new")
        command = shlex.split(" ".join(variables))
        sources = map(str, sorted((Path(self.root) / _FOLDER).glob(f"{_MODULE}*.c")))
        command += [f"-I{sysconfig.get_path('include')}", *sources, "-o", str(made)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own command
            problem = done.stderr if done.returncode else ""
        except OSError as error:  # no compiler
            problem = str(error)
        if problem:
            target.unlink(missing_ok=True)  # one of an older source would not fit
            self.app.display_warning(f"Spans are captured by Python alone: {_MODULE} can't be compiled. {problem}")
            return False
        made.replace(target)
        return True
