"""The blocks of a page of the documentation, run in order by a real shell.

    `NAME`:  and then a block of any language     the file NAME, written; ~ is the sandbox's own home
    ```bash                                       commands that succeed
    ```console                                    commands behind `$ `, and what each prints; `# exit code N` at a
                                                  command's end where N is not 0; `…` is any text, as a line any lines

Each section (`##`) starts in the sandbox's folder. Names of hosts are replaced by those of servers that run here, and
back in what is printed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.registry import program

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(r"(?:^`([^`\n]+)`[^\n`]*:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exit code (\d+)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the file that it is, if it is one, its language and its text."""

    name: str | None
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """What a reader types, what it prints (None: whatever it likes), and the exit code."""

    line: str
    printed: str | None = None
    code: int = 0


def sections(page: str) -> dict[str, list[Block]]:
    """The blocks of `docs/PAGE` by their section's heading, "" before the first."""
    found: dict[str, list[Block]] = {}
    for part in re.split(r"^(?=## )", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = re.match(r"## (.*)", part)
        assert part.count("```") % 2 == 0, (page, heading)
        found[heading[1] if heading else ""] = [Block(*found) for found in _BLOCK.findall(part)]
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a bash or console block."""
    if block.language == "bash":
        return [Command(block.text.strip())]
    made = []
    for one in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = one.splitlines(keepends=True)
        end = 1
        while lines[end - 1].endswith("\\\n"):
            end += 1
        line, printed = "".join(lines[:end]).rstrip("\n"), "".join(lines[end:])
        code = _EXIT.search(line)
        made.append(Command(_EXIT.sub("", line), printed, int(code[1]) if code else 0))
    assert made, block
    return made


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
        script = ["set -u"]
        asked: list[tuple[Command, Path]] = []
        for block in blocks:
            if block.name:
                content = self.root / f"block-{len(script)}"
                content.write_text(self.here(block.text), encoding="utf-8")
                name = shlex.quote(block.name).replace("'~/", '"$HOME"/\'')
                script.append(f'mkdir -p "$(dirname {name})" && cp {shlex.quote(str(content))} {name}')
            elif block.language in ("bash", "console"):
                for command in commands(block):
                    heard = self.root / f"heard-{len(asked)}"
                    strict = "set -e\n" if block.language == "bash" else ""
                    # In this shell, not in one of its own, so that `cd` and `export` hold for what follows.
                    script.append(
                        f"{{ {strict}{self.here(command.line)}\n}} >{heard} 2>&1; echo $? >{heard}.code; set +e"
                    )
                    asked.append((command, heard))
        self._shell("\n".join(script), extra or {})
        for command, heard in asked:
            said = self.there(heard.read_text(encoding="utf-8")) if heard.exists() else ""
            code = Path(f"{heard}.code")
            assert code.exists(), f"{command.line}\nended the shell:\n{said}"
            assert int(code.read_text()) == command.code, f"{command.line}\n{said}"
            if command.printed is not None and not _matches(command.printed, said):
                raise AssertionError(f"$ {command.line}\n--- says the page\n{command.printed}--- was printed\n{said}")

    def _shell(self, script: str, extra: Mapping[str, str]) -> None:
        clean = {
            "PATH": f"{self.home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LANG": "C.UTF-8",
            "COLUMNS": "120",
            **self.variables,
            **extra,
        }
        subprocess.run([program("bash", "bash"), "-c", script], cwd=self.work, env=clean, check=False, timeout=300)


def _variable(host: str) -> str:
    """The part of `KCD_OCI_…_USER` that stands for a host."""
    return f"_{re.sub('[^A-Z0-9]', '_', host.upper())}_"


def _matches(expected: str, said: str) -> bool:
    """Whether a text is what is expected, where `…` is any part of a line and a line of it any lines."""
    patterns = [
        "(?:.*\n)*?" if line == "…\n" else re.escape(line).replace("…", ".*")
        for line in expected.splitlines(keepends=True)
    ]
    return re.fullmatch("".join(patterns), said) is not None
