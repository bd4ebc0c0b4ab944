"""The names that kcd-gen gives to what it adds to a chart: partials, variables, files, marks in messages."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field

CHART = "kcd"
_TEXT = re.compile(rf"(?:{CHART}/templates/_p/)?_[0-9a-f]{{32}}\.tpl")


@dataclass(frozen=True, slots=True)
class Names:
    """Names with a nonce, which no template can guess: one object for a run.

    A template that could write such a name would reach the partials and files of other packages in its chart, or pass
    its own message for one of kcd-gen's. The nonce has a fixed width and never appears in what kcd-gen prints. It comes
    late in each name: Go shortens a token in a message to ten characters, and what is left must not vary.
    """

    nonce: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)

    @property
    def document(self) -> str:
        """The chart file that prints every rendering."""
        return f"templates/out-{self.nonce}.yaml"

    @property
    def library(self) -> str:
        """The chart file with the partials that answer KuboCD's own functions."""
        return f"templates/_library-{self.nonce}.tpl"

    @property
    def holder(self) -> str:
        """The variable that carries the answers of `imageRedirect`."""
        return f"$kcdAnswer_{self.nonce}"

    @property
    def undefined(self) -> str:
        """What the name of a function begins with that helm must refuse."""
        return f"kcdUndefined_{self.nonce}_"

    def partial(self, name: str) -> str:
        """The name of a partial of the library."""
        return f"kcd/partial/{self.nonce}/{name}"

    def mark(self, kind: str) -> str:
        """The word that a message begins with which kcd-gen has to find in helm's."""
        return f"kcd-message-{self.nonce}-{kind}"

    def data(self, name: str) -> str:
        """The chart file that holds `name`, without its number and its suffix."""
        return f"data/{self.nonce}/{name}"

    def text(self, source: str) -> str:
        """The path of the partial that is made from `source`, as helm reports it."""
        digest = hashlib.blake2b(source.encode(), digest_size=16, key=self.nonce.encode())
        return f"{CHART}/templates/_p/_{digest.hexdigest()}.tpl"

    def hidden(self, message: str) -> str:
        """`message` without what differs from run to run, as little as may be left of it."""
        return _TEXT.sub("", message).replace(self.nonce, "")
