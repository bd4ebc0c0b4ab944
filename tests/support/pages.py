"""How-to pages, run section by section: what `sessions.py` reads of a page, typed into its shell.

A section (`##`) starts in the sandbox's folder with a shell of its own, and what it leaves is there for the next. A
command of a `console` block exits with 0, or with what its comment says: `# exit code 3`. Names of hosts are replaced
by those of servers that run here, and back in what is printed; files may lie below `~`, the sandbox's own home.
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
    """The blocks of `docs/PAGE` by their section's heading, "" before the first."""
    found: dict[str, list[Block]] = {}
    for block in blocks(f"docs/{page}"):
        found.setdefault(block.section, []).append(block)
    return found


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A folder `work` to begin in and a home beside it, below `root`. `hosts` are the page's, by what they are here."""

    root: Path
    hosts: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def home(self) -> Path:
        return self.root / "home"

    def here(self, text: str) -> str:
        """A text of the page, with the hosts of this machine, in names of variables, too."""
        for name, host in self.hosts.items():
            text = text.replace(name, host).replace(_variable(name), _variable(host))
        return text

    def there(self, text: str) -> str:
        """What was printed, with the hosts of the page."""
        for name, host in self.hosts.items():
            text = text.replace(host, name).replace(_variable(host), _variable(name))
        return text

    def run(self, blocks: list[Block], extra: Mapping[str, str] | None = None) -> None:
        """Do what the blocks of a section say, and compare. `extra` are further variables."""
        for folder in (self.work, self.home / "run"):
            folder.mkdir(parents=True, exist_ok=True)
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
                printed, status = shell.type(self.here(command))
                said = self.there(printed)
                assert status == code, f"{command}\n--- ends with {status}\n{said}"
                if shown is not None and not fits(said, shown):
                    raise AssertionError(f"$ {command}\n--- says the page\n{shown}--- was printed\n{said}")

    def _commands(self, blocks: list[Block]) -> Iterator[tuple[str, str | None, int]]:
        """What is typed, what it prints (None: whatever it likes), and its exit code."""
        yield "set -u", "", 0
        for number, block in enumerate(blocks):
            if block.is_file:
                content = self.root / f"block-{number}"
                content.write_text(self.here(block.text), encoding="utf-8")
                name = shlex.quote(block.title).replace("'~/", '"$HOME"/\'')
                yield f'mkdir -p "$(dirname {name})" && cp {shlex.quote(str(content))} {name}', "", 0
            elif block.language == "console":
                for command, shown in steps(block):
                    code = _EXIT.search(command.rstrip())
                    yield _EXIT.sub("", command.rstrip()), shown, int(code[1]) if code else 0
            elif block.is_session:
                yield f"set -e\n{block.text}set +e", None, 0  # what fails ends the shell


def _variable(host: str) -> str:
    """The part of `KCD_OCI_…_USER` that stands for a host."""
    return f"_{re.sub('[^A-Z0-9]', '_', host.upper())}_"
