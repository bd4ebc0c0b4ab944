"""The names of everything that kcd-gen adds to a chart: partials, variables, files, and marks in messages."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field

CHART = "kcd"
_TEXT = re.compile(rf"(?:{CHART}/templates/_p/)?_[0-9a-f]{{32}}\.tpl")


@dataclass(frozen=True, slots=True)
class Names:
    """Names with a nonce that no template can guess. A run uses one object.

    A template that knew such a name could use partials and files of other packages in its chart, or forge one of
    kcd-gen's messages. The nonce has a fixed width and never appears in kcd-gen's output. It is at the end of each name
    because Go cuts tokens in messages to ten characters, and these must not differ between runs.
    """

    nonce: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)

    @property
    def document(self) -> str:
        """The chart file that prints every rendering."""
        return f"templates/out-{self.nonce}.yaml"

    @property
    def library(self) -> str:
        """The chart file with the partials that implement KuboCD's own functions."""
        return f"templates/_library-{self.nonce}.tpl"

    @property
    def holder(self) -> str:
        """The variable that holds results of `imageRedirect`."""
        return f"$kcdAnswer_{self.nonce}"

    @property
    def undefined(self) -> str:
        """The prefix of a function name that helm must refuse."""
        return f"kcdUndefined_{self.nonce}_"

    def partial(self, name: str) -> str:
        """Return the name of a partial of the library."""
        return f"kcd/partial/{self.nonce}/{name}"

    def mark(self, kind: str) -> str:
        """Return the first word of a message that kcd-gen has to find in helm's output."""
        return f"kcd-message-{self.nonce}-{kind}"

    def data(self, name: str) -> str:
        """Return the chart file that holds `name`, without its number and suffix."""
        return f"data/{self.nonce}/{name}"

    def text(self, source: str) -> str:
        """Return the path of the partial for the template `source`, as helm reports it."""
        digest = hashlib.blake2b(source.encode(), digest_size=16, key=self.nonce.encode())
        return f"{CHART}/templates/_p/_{digest.hexdigest()}.tpl"

    def hidden(self, message: str) -> str:
        """Return `message` without the parts that differ between runs, even if they are cut."""
        return _TEXT.sub("", message).replace(self.nonce, "")
