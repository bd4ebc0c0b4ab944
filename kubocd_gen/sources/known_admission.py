"""Contexts and Configs that an earlier run has admitted, so that the rules of the API server are not applied again."""

from __future__ import annotations

import json

from kubocd_gen.model.resources import Config, Context, ContextRef, Resource
from kubocd_gen.state.store import State, digest_of
from kubocd_gen.state.values import value_text

_TABLE = "admitted"


class Admission:
    """Admits Contexts and Configs. With a state, those that it knows are returned as they were admitted before."""

    def __init__(self, state: State | None = None) -> None:
        self._state = state

    def context(self, resource: Resource, default_namespace: str) -> Context:
        """Return the Context in `resource`; see `admit_context`."""
        key = self._key("Context", resource, default_namespace)
        if self._state is not None and key and (known := self._state.get(_TABLE, key)):
            value = self._state.blob(known["blob"])
            if value is not None:
                parents = tuple(ContextRef(*parent) for parent in known["parents"])
                return Context(resource, ContextRef(*known["ref"]), parents, json.loads(value))
        from kubocd_gen.sources.admission import admit_context  # most runs know all Contexts

        admitted = admit_context(resource, default_namespace)
        text = value_text(admitted.context)
        if self._state is not None and key and text is not None:
            above = [[parent.namespace, parent.name] for parent in admitted.parents]
            ref = [admitted.ref.namespace, admitted.ref.name]
            blob = self._state.put_blob(text.encode())
            self._state.put(_TABLE, key, {"ref": ref, "parents": above, "blob": blob})
        return admitted

    def config(self, resource: Resource) -> Config:
        """Return the Config in `resource`; see `admit_config`."""
        key = self._key("Config", resource, "")
        if self._state is not None and key and (known := self._state.get(_TABLE, key)):
            value = self._state.blob(known["blob"])
            if value is not None:
                return Config(resource, resource.name, json.loads(value))
        from kubocd_gen.sources.admission import admit_config

        admitted = admit_config(resource)
        text = value_text(admitted.spec)
        if self._state is not None and key and text is not None:
            self._state.put(_TABLE, key, {"blob": self._state.put_blob(text.encode())})
        return admitted

    def _key(self, kind: str, resource: Resource, default_namespace: str) -> str:
        """Return the key of what is admitted; "" if the value of the resource has no digest."""
        if self._state is None or resource.faults:
            return ""
        digest = resource.digest
        if not digest:  # for example of a Config in the values of a chart
            text = value_text(resource.value)
            digest = digest_of(text.encode()) if text else ""
        return digest and f"{kind} {digest} {default_namespace}"
