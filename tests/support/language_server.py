"""The real yaml-language-server, driven as an editor does: LSP over standard input and output."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.support.npm import npm_program

VERSION = "1.25.0"  # the last version for Node.js 18 and 20, which Debian and Ubuntu have
_TIMEOUT = 120  # seconds without a message from the server, after which a test fails rather than hangs
CURSOR = "‸"


@dataclass(slots=True)
class LanguageServer:
    """A running server with the files of one workspace."""

    process: subprocess.Popen[bytes]
    root: Path
    settings: Mapping[str, Any]
    messages: queue.Queue[dict[str, Any] | None] = field(default_factory=queue.Queue)
    sent: int = 0
    opened: int = 0

    def diagnostics(self, name: str, text: str | None = None) -> list[str]:
        """Return the problems of a file, with its own content or other content: `line: message`, sorted by position."""
        uri = self._open(name, text)
        while True:
            message = self._next()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"]["uri"] == uri:
                found = message["params"]["diagnostics"]
                found.sort(key=lambda one: (one["range"]["start"]["line"], one["range"]["start"]["character"]))
                return [f"{one['range']['start']['line'] + 1}: {one['message']}" for one in found]

    def completions(self, name: str, text: str) -> dict[str, str]:
        """Return the completions at `CURSOR`: label and inserted text."""
        items = self._at_cursor(name, text, "textDocument/completion")["items"]
        return {item["label"]: item.get("insertText") or item["textEdit"]["newText"] for item in items}

    def hover(self, name: str, text: str) -> str:
        """Return the hover text at `CURSOR`."""
        hover = self._at_cursor(name, text, "textDocument/hover")
        return hover["contents"]["value"] if hover else ""

    def _at_cursor(self, name: str, text: str, method: str) -> Any:
        before, _, after = text.partition(CURSOR)
        uri = self._open(name, before + after)
        position = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        return self._request(method, {"textDocument": {"uri": uri}, "position": position})

    def _open(self, name: str, text: str | None) -> str:
        path = self.root / name
        if text is None:
            text = path.read_text(encoding="utf-8")
        else:  # with a new name: an answer about earlier content must not be taken for this one
            self.opened += 1
            path = path.with_stem(f"{path.stem}-{self.opened}")
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._notify("textDocument/didOpen", {"textDocument": document})
        return path.as_uri()

    def start(self) -> None:
        params = {
            "processId": None,
            "rootUri": self.root.as_uri(),
            "workspaceFolders": [{"uri": self.root.as_uri(), "name": "tests"}],
            "capabilities": {
                "workspace": {"configuration": True, "workspaceFolders": True},
                "textDocument": {"completion": {"completionItem": {"snippetSupport": True}}},
            },
        }
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        self._request("initialize", params)
        self._notify("initialized", {})
        # It asks for the settings, and completes nothing before it has them; it reports problems without them.
        self._at_cursor("settings.yaml", CURSOR, "textDocument/completion")

    def stop(self) -> None:
        self._request("shutdown", None)
        self._notify("exit", None)
        self.process.wait(_TIMEOUT)

    def _request(self, method: str, params: Any) -> Any:
        self.sent += 1
        self._send({"id": self.sent, "method": method, "params": params})
        while True:
            message = self._next()
            if message.get("id") == self.sent and "method" not in message:
                assert "error" not in message, message["error"]
                return message.get("result")

    def _notify(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def _next(self) -> dict[str, Any]:
        """Return the next message; requests are answered."""
        message = self.messages.get(timeout=_TIMEOUT)
        assert message is not None, "the language server has ended"
        if "method" in message and "id" in message:
            result: Any = None
            if message["method"] == "workspace/configuration":
                result = [self.settings.get(item["section"]) for item in message["params"]["items"]]
            self._send({"id": message["id"], "result": result})
        return message

    def _read(self, stream: IO[bytes]) -> None:
        for line in iter(stream.readline, b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
                while stream.readline().strip():
                    pass
                self.messages.put(json.loads(stream.read(length)))
        self.messages.put(None)


@contextmanager
def language_server(root: Path, settings: Mapping[str, Any] | None = None) -> Iterator[LanguageServer]:
    """Start a server for the workspace `root`; `settings` are those of `.vscode/settings.json`."""
    sections: dict[str, Any] = {"yaml": {"schemaStore": {"enable": False}}}  # it would be downloaded
    for name, value in (settings or {}).items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    command = [*npm_program("yaml-language-server", VERSION), "--stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        server = LanguageServer(process, root, sections)
        try:
            server.start()
            yield server
            server.stop()
        finally:
            process.kill()
