"""Recognize names of secrets, and names that only describe or refer to a secret.

A name is split into words (`adminPassword`, `ADMIN_PASSWORD`, `admin.password`), and its last word decides: `tokenUrl`
is an address, `urlToken` is a token.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Cover = Literal["all", "strings", "scalar", "random", "reference", ""]
"""Which values of a field with this name are hidden: all, only strings, only a scalar, or only a string that is not a
plain word. `reference`: none, because the value refers to a Secret. "": none, because the name is not that of a secret.
"""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PASSWORDS = _set("password passwd passphrase pwd passwort kennwort pw psw")
_CREDENTIALS = _set("credential cred htpasswd kubeconfig dockerconfigjson dockercfg dsn mnemonic pgpass netrc")
_SCALARS = _set("auth authorization bearer sas")
_ENDINGS = (
    *("password", "passwd", "passphrase", "passwort", "token", "credentials", "credential", "clientsecret"),
    *("apikey", "accesskey", "secretkey", "privatekey", "signingkey", "encryptionkey", "masterkey", "sharedkey"),
    *("sshkey", "authkey", "licensekey", "licencekey", "accountkey", "hmackey", "pwd", "pw"),
)
_NOT_PASS = _set("compass bypass encompass surpass trespass overpass underpass")
# Words before `key` with which it is a secret.
_KEY_OWNERS = _set(
    """
    api app application access secret private priv encryption encrypt enc encrypted signing sign signature master
    shared account storage license licence hmac jwt jws jwe jwk aes rsa dsa ecdsa ed ssh tls ssl server client
    deploy deployment webhook crypt crypto cipher session cookie service admin root auth authorization
    authentication bot recovery unseal wrap wrapping kek dek psk preshared fernet csrf stripe sendgrid openai
    anthropic aws azure gcp google datadog dd sentry relic github gitlab slack twilio mailgun pagerduty algolia
    decryption decrypt vault consumer write read ingest integration subscription
    """
)
# Words before `key` with which it is not a secret: the name of an entry, or something to sort and search by.
_NOT_KEYS = _set(
    """
    public pub password passwd pwd pass passphrase username user email sort partition primary foreign label
    annotation topology config configmap object cache map routing route group order index lookup search name data
    file field property item hot unique composite row column tag trace metric dictionary registry header ca
    certificate cert crt value env node zone taint toleration selector attribute metadata translation message
    idempotency shortcut json yaml hash range bucket token redis credentials credential existing tracking grouping
    correlation dedup join event host known authorized alt path prefix
    """
)
# Words after `password` with which the value is only about the password.
_ABOUT = _set(
    """
    name names ref refs reference file files path paths dir url uri endpoint host port key keys secret secrets
    length len size min max policy type kind enabled enable disabled disable required enforced expiry expire expires
    expiration ttl lifetime age duration timeout interval rotation rotate reset change count history algorithm
    encoder encoding encryption format prefix suffix header field claim issuer audience scope provider store manager
    mode source version rules requirements complexity strength env var variable template label mount volume
    namespace method class authentication auth login grant generator generate less hint prompt input attempts
    retries cache regex pattern charset characters from config configmap map id property parameter param option flag
    strategy validation validator forgotten recovery forgot update create existing
    """
)
_OBJECTS = _set(
    """
    existing password passwd pwd pass pw passphrase credential credentials creds pull tls ssl cert certs certificate
    certificates ca registry keystore truststore external sealed kubernetes k image auth use create extra from
    dockerconfig additional ingress backend mount managed
    """
)
_QUALIFIERS = _set(
    """
    value values string str text literal plain plaintext raw clear cleartext base b encoded decoded pem data hash
    hashed old new current previous default override content contents bytes json
    """
)
_COUNTS = _set("max min num number count total limit prompt completion input output")
_PLURALS = _set(
    """
    passwords passwds passphrases pwds tokens secrets keys credentials creds apikeys accesskeys privatekeys
    """
)


def is_hidden(name: str) -> bool:
    """Return whether a string in a field `name` is hidden."""
    return cover(name) in ("all", "strings", "scalar")


def looks_secret(name: str) -> bool:
    """Return whether every literal string in a field `name` deserves a warning, not only one that looks random."""
    words = _words(name)
    last = words[-1] if words else ""
    doubtful = last in _SCALARS or words == ("pass",) or (last == "secret" and words[-2:] != ("client", "secret"))
    unknown_key = last == "key" and not (len(words) > 1 and words[-2] in _KEY_OWNERS)
    return cover(name) in ("all", "strings") and not doubtful and not unknown_key


@lru_cache(maxsize=8192)
def cover(name: str, parent: str = "") -> Cover:
    """Return which values of a field `name` are hidden. `parent` is the name of its parent, which decides for `key`."""
    whole = _split(name)
    if not whole:
        return ""
    if _is_reference(whole):
        return "reference"
    if whole[-2:] in (("string", "data"), ("connection", "string"), ("conn", "string"), ("conn", "str")):
        return "all"
    words = _words(name)
    last, before = words[-1], words[:-1]
    if last == "key":
        return _cover_key(name, before, _words(parent))
    if last == "token":
        return "" if _COUNTS.intersection(before) else "strings" if whole[-1] == "tokens" else "all"
    if last in _SCALARS:
        return "scalar"
    if (
        last in _PASSWORDS
        or last in _CREDENTIALS
        or last == "secret"
        or words[-2:] == ("kube", "config")
        or (last.endswith("pass") and last not in _NOT_PASS)
        or last.endswith(_ENDINGS)
        or last.removesuffix("s").endswith(_ENDINGS)
    ):
        return "all"
    for index, word in enumerate(whole[:-1]):
        if word in _PASSWORDS and not _ABOUT.intersection(whole[index + 1 :]):
            return "all"
    return ""


def _cover_key(name: str, before: tuple[str, ...], parent: tuple[str, ...]) -> Cover:
    if not before:
        return "all" if parent and parent[-1] in _KEY_OWNERS - {"secret"} else ""
    of_object = len(before) > 1 and before[-1] == "secret" and before[-2] in _OBJECTS
    if "existing" in before or before[-1] in _NOT_KEYS or of_object:
        return ""
    if before[-1] in _KEY_OWNERS:
        return "all"
    return "all" if re.search(r"[_.-]keys?[0-9]*$", name, re.IGNORECASE) else "random"


def _is_reference(words: tuple[str, ...]) -> bool:
    """Return whether the value is the name of a Secret, or another reference to one."""
    if words[-1] in ("ref", "refs", "reference", "references") or words[-2:] == ("value", "from"):
        return True
    singular = tuple(word.removesuffix("s") if word in ("secrets", "names", "keys") else word for word in words)
    if "secret" in singular[:-1]:
        after = singular[singular.index("secret") + 1 :]
        if after[0] in ("name", "namespace", "from", "path", "store", "provider", "class", "type"):
            return True
        if after[0] == "key" and ("existing" in words or len(after) > 1):
            return True
    return singular[-1] == "secret" and len(singular) > 1 and singular[-2] in _OBJECTS


@lru_cache(maxsize=8192)
def _words(name: str) -> tuple[str, ...]:
    """Return the words of a name in the singular, without numbers and words such as `value` at the end."""
    words = list(_split(name))
    while len(words) > 1 and words[-1] in _QUALIFIERS:
        words.pop()
    if words and words[-1] in _PLURALS:
        words[-1] = words[-1].removesuffix("s")
    return tuple(words)


def _split(name: str) -> tuple[str, ...]:
    words = [word.lower() for word in _WORD.findall(name[:256])]
    while len(words) > 1 and words[-1].isdigit():
        words.pop()
    return tuple(words)
