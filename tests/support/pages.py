"""How-to pages, run section by section: the blocks that `sessions.py` reads from a page, typed into its shell.

A section (`##`) starts in the sandbox's directory with a new shell, and its files are kept for the next section. A
command of a `console` block exits with 0, or with the code in its comment: `# exit code 3`. Host names are replaced by
those of local servers, and back in the output; files can be below `~`, the sandbox's own home.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.sessions import ROOT, Block, blocks, fits, open_shell, steps

DOCS = ROOT / "docs"
_EXIT = re.compile(r"\s+# exit code (\d+)$")


def sections(page: str) -> dict[str, list[Block]]:
    """Return the blocks of `docs/PAGE` by their section's heading; "" is the part before the first."""
    found: dict[str, list[Block]] = {}
    for block in blocks(f"docs/{page}"):
        found.setdefault(block.section, []).append(block)
    return found


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A start directory `work` and a home directory, both below `root`. `hosts` maps local hosts to the page's."""

    root: Path
    hosts: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def home(self) -> Path:
        return self.root / "home"

    def to_local(self, text: str) -> str:
        """Replace the page's hosts with the local ones, in variable names too."""
        for name, host in self.hosts.items():
            text = text.replace(name, host).replace(_variable(name), _variable(host))
        return text

    def to_page(self, text: str) -> str:
        """Replace the local hosts in an output with the page's."""
        for name, host in self.hosts.items():
            text = text.replace(host, name).replace(_variable(host), _variable(name))
        return text

    def run(self, blocks: list[Block], extra: Mapping[str, str] | None = None) -> None:
        """Run the blocks of a section and compare the output. `extra` are additional variables."""
        for directory in (self.work, self.home / "run"):
            directory.mkdir(parents=True, exist_ok=True)
        (self.home / ".gitconfig").write_text("[user]\nname = A\nemail = a@example.com\n[init]\ndefaultBranch = main\n")
        variables = {
            "PATH": f"{self.home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LANG": "C.UTF-8",
            "COLUMNS": "120",
            **self.variables,
            **(extra or {}),
        }
        with open_shell(self.work, variables) as shell:
            for command, shown, code in self._commands(blocks):
                printed, status = shell.type(self.to_local(command))
                output = self.to_page(printed)
                assert status == code, f"{command}\n--- ends with {status}\n{output}"
                if shown is not None and not fits(output, shown):
                    raise AssertionError(f"$ {command}\n--- on the page\n{shown}--- was printed\n{output}")

    def _commands(self, blocks: list[Block]) -> Iterator[tuple[str, str | None, int]]:
        """Yield each typed command, its expected output (None: any), and its exit code."""
        yield "set -u", "", 0
        for number, block in enumerate(blocks):
            if block.is_file:
                content = self.root / f"block-{number}"
                content.write_text(self.to_local(block.text), encoding="utf-8")
                name = shlex.quote(block.title).replace("'~/", '"$HOME"/\'')
                yield f'mkdir -p "$(dirname {name})" && cp {shlex.quote(str(content))} {name}', "", 0
            elif block.language == "console":
                for command, shown in steps(block):
                    code = _EXIT.search(command.rstrip())
                    yield _EXIT.sub("", command.rstrip()), shown, int(code[1]) if code else 0
            elif block.is_session:
                yield f"set -e\n{block.text}set +e", None, 0  # a failing command ends the shell


def _variable(host: str) -> str:
    """Return the part of `KCD_OCI_…_USER` that names a host."""
    return f"_{re.sub('[^A-Z0-9]', '_', host.upper())}_"
