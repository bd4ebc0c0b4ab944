"""Masking secrets in values and strings, by name and by format, in limited time."""

from __future__ import annotations

import base64
import json
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubocd_gen.compiler import secrets
from kubocd_gen.compiler.secret_names import cover, is_hidden, looks_secret
from kubocd_gen.compiler.secret_shapes import MASK
from kubocd_gen.compiler.secrets import Masks
from kubocd_gen.compiler.value_changes import ABSENT, changes

SECRET = "hunter2-Tiger"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\nMIIE{SECRET}==\n-----END RSA PRIVATE KEY-----\n"


def masked(value: Any) -> Any:
    return Masks().value(value)


def masked_string(text: str) -> str:
    return Masks().text(text)


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password: tiger", f"password: {MASK}"),
        ('"apiKey": "tiger lily"', f'"apiKey": {MASK}'),
        ("password: tiger lily", f"password: {MASK}"),
        ("a=1;db_password=tiger;b=2", f"a=1;db_password={MASK};b=2"),
        ("clientSecret = 'tiger'", f"clientSecret = {MASK}"),
        ("password:\n  next: 1", f"password:\n  next: {MASK}\n"),
        ("failed: password=tiger", f"failed: password={MASK}"),
        ("run --password tiger -v", f"run --password {MASK} -v"),
        ("--token=tiger", f"--token={MASK}"),
        ("https://me:tiger@example.com/x", f"https://me:{MASK}@example.com/x"),
        ("https://me:ti@ger@example.com/x", f"https://me:{MASK}@example.com/x"),
        ("https://example.com/?token=tiger&x=1", f"https://example.com/?token={MASK}&x=1"),
        ("https://example.com/?x=1&sig=tiger", f"https://example.com/?x=1&sig={MASK}"),
        ("me:tiger@tcp(db:3306)/shop", f"me:{MASK}@tcp(db:3306)/shop"),
        ("me:tiger@db:3306/shop", f"me:{MASK}@db:3306/shop"),
        ("Authorization: Bearer abcdefgh12345", f"Authorization: Bearer {MASK}"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END", f"-----BEGIN RSA PRIVATE KEY-----{MASK}-----END"),
        ("x: 1\npassword: |\n  tiger\n  lily\n", f"x: 1\npassword: {MASK}\n"),
        ('{"a": {"password": "tiger"}}', f'{{"a": {{"password": "{MASK}"}}}}'),
        ('[db]\nhost = "a"\npassword = "tiger"\n', f'[db]\nhost = "a"\npassword = "{MASK}"\n'),
        ("[db]\nhost = a\npassword = tiger\n", f"[db]\nhost = a\npassword = {MASK}\n"),
        ("[secrets]\nx = tiger\n", f"[secrets]\nx = {MASK}\n"),
        ("DB_PASSWORD=tiger\nDB_HOST=a\n", f"DB_PASSWORD={MASK}\nDB_HOST=a\n"),
        ("a.b.password=ti\\\n  ger\nc=d\n", f"a.b.password={MASK}\n{MASK}\nc=d\n"),
        ("a: [1\nb: 2\n- password: tiger\n", MASK),
        (
            "#!/bin/sh\necho start\nmysql --password=tiger\nexec run\n",
            f"#!/bin/sh\necho start\nmysql --password={MASK}\nexec run\n",
        ),
        ("machine a\nlogin me\npassword tiger\n", f"machine a\nlogin me\npassword {MASK}\n"),
        ("<a>\n<password>tiger</password>\n</a>", MASK),
    ],
)
def test_a_secret_inside_a_string_is_masked(text: str, shown: str) -> None:
    assert masked_string(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "tokenUrl: https://example.com/token",
        "the password is in the vault",
        "x: 1\npasswordFile: /run/x\n",
        "password: ${DB_PASSWORD}",
        "x: 1\npassword: null\n",
        "git@github.com:org/repo.git",
        "mailto:me@example.com",
        "https://example.com:8080/@scope/name",
        f"repo/app:1.0@sha256:{'a' * 64}",
        f"sha256:{'0123456789abcdef' * 4}",
        "basic authentication is off",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2x0AbCdEfGhIjKlMnOpQrStUvWxYz0123456789 me",
        "a-rather-long-name-of-something-that-is-no-secret-at-all",
    ],
)
def test_a_string_without_a_secret_is_shown(text: str) -> None:
    assert masked_string(text) == text


HIDDEN = """
    password adminPassword DB_PASSWORD dbPW pw PW rootpw passwd userPasswd passwords passphrase pwd
    token authToken tokens X-Auth-Token apiKey api_key api-key APIKey apikey accessKey secretKey secret_key privateKey
    signing_key encryption-key encryptionKey db_key MASTER_KEY sshKey licenseKey awsSecretAccessKey minioSecretKey
    clientSecret client_secret clientsecret jwtSecret secret accessTokenSecret credentials credential creds
    auth basicAuth authorization bearer dsn connectionString stringData tls.key client-key-data htpasswd kubeconfig
    .dockerconfigjson passwordHash password1 adminPassword2 tokenValue privateKeyPem PASSWORD_PROD dbPass pass
"""
SHOWN = """
    passwordSecret passwordSecretName passwordSecretRef tokenSecretName secretName secretRef secretKeyRef existingSecret
    existing-secret existingSecretKey existingSecretPasswordKey imagePullSecrets tlsSecret credentialsSecret
    apiKeySecretRef passwordKey usernameKey userPasswordKey tokenKey publicKey keyName key keys keyFile topologyKey
    sortKey labelKey passwordFile bearerTokenFile apiKeyFile passwordLength passwordPolicy tokenUrl tokenTTL tokenExpiry
    maxTokens monkey turkey keyboard author authority authenticated keycloak tokenizer passthrough
    keyspace compass bypass
    externalSecrets secretStoreRef valueFrom host name secretNamespace passwordAuthentication passwordEncoder
"""


@pytest.mark.parametrize("name", HIDDEN.split())
def test_a_value_whose_key_names_a_secret_is_masked(name: str) -> None:
    assert is_hidden(name)
    assert masked({name: SECRET}) == {name: MASK}
    assert SECRET not in masked_string(f"a: 1\n{name}: {SECRET}\n")


@pytest.mark.parametrize("name", SHOWN.split())
def test_a_value_whose_key_only_refers_to_a_secret_is_shown(name: str) -> None:
    assert cover(name) in ("", "reference")
    assert masked({name: SECRET}) == {name: SECRET}
    assert masked_string(f"a: 1\n{name}: {SECRET}\n") == f"a: 1\n{name}: {SECRET}\n"


def test_with_an_unknown_key_only_a_plain_word_is_shown() -> None:
    assert masked({"fooKey": "name", "barKey": SECRET}) == {"fooKey": "name", "barKey": MASK}


def test_warnings_use_fewer_secret_names_than_masking() -> None:
    assert looks_secret("adminPassword")
    assert not looks_secret("jwtSecret")
    assert is_hidden("jwtSecret")


def test_whether_a_secret_is_set_is_shown() -> None:
    value = {"password": None, "token": True, "apiKey": 7, "pw": "", "credentials": {"user": "me", "on": False}}
    assert masked(value) == {
        "password": None,
        "token": True,
        "apiKey": MASK,
        "pw": "",
        "credentials": {"user": MASK, "on": False},
    }


@pytest.mark.parametrize(
    "value",
    [
        {"auth": {"enabled": True, "type": "basic"}},
        {"credentials": {"existingSecret": "shop", "secretRef": {"name": "shop", "key": "password"}}},
        {"kubeConfig": {"secretRef": {"name": "shop"}}},
        {"env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "password"}}}]},
        {"args": ["--password-file", "/run/x"]},
        {"passwordPolicy": {"length": 12}},
        {"maxTokens": 4096},
    ],
)
def test_the_location_and_form_of_a_secret_are_shown(value: dict[str, Any]) -> None:
    assert masked(value) == value


PLANTED: dict[str, Any] = {
    "everything below passwords": {"passwords": {"alice": SECRET, "more": [SECRET, {"x": SECRET}]}},
    "stringData": {"stringData": {"user": SECRET}},
    "a Secret among manifests": {"manifests": [{"kind": "Secret", "data": {"x": SECRET}}]},
    "auth of a registry": {"auths": {"registry": {"auth": SECRET}}},
    "an environment": {"env": [{"name": "DB_PASSWORD", "value": SECRET}]},
    "a pair": {"settings": [{"key": "apiKey", "value": SECRET}]},
    "a header": {"headers": [{"name": "Authorization", "value": SECRET}]},
    "an argument": {"args": [f"--password={SECRET}"]},
    "two arguments": {"args": ["--password", SECRET]},
    "a key of something": {"encryption": {"key": SECRET}},
    "a private key": {"x": f"before\n{PEM}after"},
    "a certificate": {"x": PEM.replace("RSA PRIVATE KEY", "CERTIFICATE")},
    "YAML": {"x": f"db:\n  credentials:\n  - {SECRET}\n"},
    "YAML in one line": {"x": f"{{db: {{password: {SECRET}}}, x: 1}}"},
    "YAML with a key of its own line": {"x": f"? password\n: {SECRET}\nb: 1\n"},
    "YAML in quotes": {"x": f'a: 1\npassword: "x\\"{SECRET}"\n'},
    "YAML over lines": {"x": f"a: 1\npassword: x\n  {SECRET}\n"},
    "YAML of several documents": {"x": f"---\na: 1\n---\nkind: Secret\ndata: {{x: {SECRET}}}\n"},
    "YAML that is broken": {"x": f"a: {{{{ x }}}}\npassword:\n- {SECRET}\nb: ]\n"},
    "YAML that is too long": {"x": "a: 1\n" * 20_000 + f"password:\n- {SECRET}\n"},
    "JSON": {"x": json.dumps({"a": {"password": SECRET}}, indent=2)},
    "JSON with escapes": {"x": f'{{"pass\\u0077ord": "{SECRET}"}}'},
    "JSON that is broken": {"x": f'{{\n"password": "{SECRET}",\n'},
    "TOML": {"x": f'[a]\nb.password = """\n{SECRET}"""\n'},
    "TOML in a line": {"x": f'a = {{token = "{SECRET}"}}\n'},
    "INI": {"x": f"[a]\nb=c\npassword = x\n  {SECRET}\n"},
    "properties": {"x": f"spring.datasource.password={SECRET}\na.b=c\n"},
    "a shell's environment": {"x": f"export A=b\nexport API_KEY='{SECRET}'\n"},
    "a comment": {"x": f"# password: {SECRET}\na: 1\n"},
    "SQL": {"x": f"CREATE USER a WITH PASSWORD '{SECRET}';\nDROP b;"},
    "a slice of a URL": {"x": f"see amqp://me:{SECRET}@host and more"},
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("wrapped", [0, 1, 2, 3])
def test_a_planted_secret_is_masked(name: str, wrapped: int) -> None:
    value = PLANTED[name]
    for number in range(wrapped):  # in JSON in JSON
        value = {f"in{number}": json.dumps(value)}
    assert SECRET not in json.dumps(masked(value))


@pytest.mark.parametrize("name", PLANTED)
def test_a_changed_secret_is_shown_as_changed(name: str) -> None:
    new = json.loads(json.dumps(PLANTED[name]).replace(SECRET, "other-" + SECRET))
    found = list(changes({"top": PLANTED[name]}, {"top": new}))
    assert found
    for change in found:
        assert SECRET not in json.dumps([one for one in (change.old, change.new) if one is not ABSENT])


ENCODED: dict[str, str] = {
    "a private key": base64_of(PEM),
    "for URLs": base64.urlsafe_b64encode(PEM.encode()).decode(),
    "without its end": base64_of(PEM).rstrip("="),
    "after a line break": base64_of("\n" + PEM),
    "after two letters": base64_of("ab" + PEM),
    "twice": base64_of(base64_of(PEM)),
    "a certificate": base64_of(PEM.replace("RSA PRIVATE KEY", "CERTIFICATE")),
    "YAML": base64_of(f"a: 1\npassword: {SECRET}\n"),
    "a registry's login": base64_of(json.dumps({"auths": {"registry": {"auth": SECRET}}})),
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("width", [10_000, 76, 64])
@pytest.mark.parametrize(
    ("start", "end"), [("", ""), ("file: ", ""), ("a: b\nfile: |\n", "\nnext: 1\n"), ("{'x':'", "'}")]
)
def test_a_secret_in_base64_is_masked(name: str, width: int, start: str, end: str) -> None:
    text = "\n".join(textwrap.wrap(ENCODED[name], width))
    if "|" in start:
        text = textwrap.indent(text, "  ")
    shown = masked_string(f"{start}{text}{end}")
    assert MASK in shown
    for at in range(0, len(ENCODED[name]) - 24, 12):
        assert ENCODED[name][at : at + 12] not in shown
    assert shown.endswith(end)


@pytest.mark.parametrize(
    "token",
    [
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2c3" * 5,
        "glpat-" + "a1B2c3d4e5f6g7h8i9j0",
        "xoxb-" + "123456789012-abcdefABCDEF",
        "https://hooks.slack.com/services/" + "T0000/B0000/abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiJtZSJ9." + "c2lnbmF0dXJl",
        "AIza" + "a1B2c3d4" * 5,
        "sk_live_" + "a1B2c3d4e5",
        "hvs." + "a1B2c3d4" * 3,
        "npm_" + "a1B2c3" * 6,
        "$2y$10$" + "a" * 53,
    ],
)
def test_a_token_is_recognized_by_its_format(token: str) -> None:
    assert masked({"x": f"see {token}, and"}) == {"x": f"see {MASK}, and"}
    assert token not in json.dumps(masked({"x": json.dumps({"y": token})}))


NAMES = st.sampled_from(["password", "apiKey", "credentials", "stringData", "db_token", "passwords"])
VALUES = st.recursive(
    st.just(SECRET) | st.just(f"{SECRET}\n{SECRET}"),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, min_size=1),
    max_leaves=5,
)


@given(
    st.recursive(
        st.dictionaries(NAMES, VALUES, min_size=1, max_size=2),
        lambda inner: (
            st.fixed_dictionaries({"x": inner, "y": st.integers()})
            | st.builds(lambda value: {"x": json.dumps(value, indent=1)}, inner)
            | st.builds(lambda value: [value], inner)
        ),
        max_leaves=4,
    )
)
def test_no_secret_survives(value: Any) -> None:
    assert "hunter2" not in json.dumps(masked(value))
    assert "hunter2" not in json.dumps(masked({"text": json.dumps(value)}))


def test_the_amount_of_parsed_text_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_MOST", secrets._MOST // 8)
    masks = Masks()
    for number in range(5):  # each is 60 KB; beyond the limit, the whole string is masked
        shown = masks.text(f"x: {number}\n" + "a: b\n" * 12_000 + f"password:\n- {SECRET}\n")
        assert SECRET not in shown
    assert shown == MASK


@pytest.mark.parametrize(
    "part",
    [
        *("x", "password", "password ", "://", "://a:", "-----BEGIN ", "Bearer ", "secret'", "A ", "a:", "password: "),
        *("password='", "a=", "\n  password:\n", "{", "[", "QUJD", "QUJD\n", "--a ", "<a>", "a@b:", "LS0tLS1CRUdJTi"),
        *("login a password ", "key: |\n", "eyJaaaaaaaaaaaa.", "\\", "\\n"),
    ],
)
def test_masking_takes_linear_time(part: str) -> None:
    masked_string(part * (100_000 // len(part)))  # a pattern of quadratic time would not finish
