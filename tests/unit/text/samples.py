"""Made-up secrets, put together here so that no scanner takes this file for a leak."""

from __future__ import annotations

_HEX = "0123456789abcdef"
_ABC = "Zx9Qw8Er7Ty6Ui5Op4As3Df2Gh1JkLmNb"


def of(alphabet: str, size: int) -> str:
    """`size` characters of an alphabet, the same each time."""
    return (alphabet * (size // len(alphabet) + 1))[:size]


def mixed(size: int) -> str:
    """Letters and digits."""
    return of(_ABC, size)


def hexadecimal(size: int) -> str:
    """Hexadecimal digits."""
    return of(_HEX, size)


TOKENS: dict[str, str] = {
    "anthropic": "sk-ant-" + "api03-" + mixed(80) + "-AA",
    "openai project": "sk-" + "proj-" + mixed(60) + "_" + mixed(40),
    "openai": "sk-" + mixed(20) + "T3Blbk" + "FJ" + mixed(20),
    "secret key": "sk-" + mixed(48),
    "github": "ghp" + "_" + mixed(36),
    "github app": "ghs" + "_" + mixed(36),
    "github fine-grained": "github" + "_pat_" + mixed(22) + "_" + mixed(59),
    "gitlab": "glpat" + "-" + mixed(20),
    "google": "AIza" + mixed(35),
    "google oauth": "GOCSPX" + "-" + mixed(28),
    "slack": "xoxb" + "-123456789012-1234567890123-" + mixed(24),
    "stripe": "sk" + "_live_" + mixed(24),
    "stripe test": "rk" + "_test_" + mixed(24),
    "square": "sq0csp" + "-" + mixed(43),
    "npm": "npm" + "_" + mixed(36),
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + mixed(80),
    "hugging face": "hf" + "_" + mixed(34),
    "aws id": "AK" + "IA" + "Q3EXAMPLE7XYZAB2",
    "jwt": "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0." + mixed(43),
    "sendgrid": "SG" + "." + mixed(22) + "." + mixed(43),
    "mailchimp": hexadecimal(32) + "-us12",
    "telegram": "123456789" + ":" + mixed(35),
    "twilio": "SK" + hexadecimal(32),
    "discord": "M" + mixed(23) + "." + mixed(6) + "." + mixed(27),
    "artifactory": "AKC" + mixed(40),
    "digitalocean": "dop_v1_" + hexadecimal(64),
    "groq": "gsk" + "_" + mixed(52),
    "atlassian": "ATATT3xFf" + "GF0" + mixed(180),
    "airtable": "pat" + mixed(14) + "." + hexadecimal(64),
    "asana": "1/" + "1234567890123456" + ":" + hexadecimal(32),
    "cargo": "cio" + mixed(32),
    "circleci": "CCI" + "PAT_" + mixed(22) + "_" + hexadecimal(40),
    "docker": "dckr" + "_pat_" + mixed(27),
    "figma": "figd" + "_" + mixed(40),
    "hubspot": "pat" + "-na1-" + "123e4567-e89b-12d3-a456-426614174000",
    "langfuse": "sk-" + "lf-" + "123e4567-e89b-12d3-a456-426614174000",
    "newrelic": "NRAK" + "-" + of("A1B2C3D", 27),
    "notion": "secret" + "_" + mixed(43),
    "planetscale": "pscale" + "_pw_" + mixed(43),
    "replicate": "r8" + "_" + mixed(37),
    "resend": "re" + "_" + mixed(8) + "_" + mixed(24),
    "supabase": "sbp" + "_" + hexadecimal(40),
    "terraform": mixed(14) + ".atlasv1." + mixed(67),
    "azure client": mixed(3) + "8Q~" + mixed(34),
    "age": "AGE-SECRET-" + "KEY-1" + of("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
}
"""A name to what is secret wherever it stands."""

TOLD: dict[str, tuple[str, str]] = {
    "aws secret": ("aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCY1EXAMPLEKEY"),
    "aws secret quoted": ('"AWS_SECRET_ACCESS_KEY": "{}"', "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCY2EXAMPLEKEY"),
    "azure account": ("AccountName=x;AccountKey={};EndpointSuffix=y", mixed(86) + "=="),
    "database": ("postgres://admin:{}@db.example.com:5432/app", "S3cr3t-pass!"),
    "redis": ("redis://:{}@localhost:6379/0", "r3d1spw"),
    "basic auth": ("https://user:{}@example.com/x", "hunter2"),
    "connection": ("Server=db;Database=x;User Id=sa;Password={};", "P4ss-w0rd"),
    "password": ("password: {}", "hunter2hunter2"),
    "quoted password": ('DB_PASSWORD="{}"', "h;unter$2, or so".replace(" ", "")),
    "yaml": ("  api_key: {}", mixed(24)),
    "env": ("export SERVICE_TOKEN={}", mixed(24)),
    "bearer": ("Authorization: Bearer {}", mixed(40)),
    "curl": ("curl -u admin:{} https://example.com", "hunter2hunter2"),
    "slack hook": ("https://hooks.slack.com/services/{}", "T0000000A/B0000000B/" + mixed(24)),
    "weak name": ("secret: {}", mixed(16)),
    "database password": ("db_pass = '{}'", mixed(16)),
    "option": ("login --password {} --now", mixed(16)),
    "mysql": ("mysql -u root -p{} app", mixed(14)),
    "sshpass": ("sshpass -p {} ssh host", mixed(14)),
    "said": ("The password is {}.", mixed(14)),
    "xml": ("<password>{}</password>", mixed(14)),
    "okta": ("Authorization: SSWS {}", "00" + mixed(40)),
    "npmrc": ("//registry.example.com/:_authToken={}", hexadecimal(36)),
}
"""A name to what is said around a secret, and the secret."""

KEY = "\n".join(["MIIEpAIBAAKCAQEA" + mixed(48), *(mixed(64)[n:] + mixed(n) for n in range(1, 12)), mixed(21) + "=="])
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n-----END RSA PRIVATE KEY-----"

HARMLESS = (
    "The password is required, and the token: see below. My API key? Ask the admin for an access token.",
    "Set `password` in config.yaml; secret_key = os.environ['SECRET_KEY']; api_key=${API_KEY} token=$TOKEN",
    'skip sk-learn, task-runner-with-a-very-long-name-indeed, ask-me-anything; ghp_short; eyJ is base64 for {".',
    "commit 3f786850e387550fdab836ed7e6dc881de23001b, "
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "id 123e4567-e89b-12d3-a456-426614174000, https://example.com:8080/a/b?c=d#e, me@example.com, 12:34:56",
    "A key file starts with `-----BEGIN RSA PRIVATE KEY-----` and ends with `-----END RSA PRIVATE KEY-----`.",
    "postgres://user:${DB_PASSWORD}@host/db and ‹secret:ab12› and password: ‹secret:ab12› and https://u:‹secret:ab12›@h",
    "The password is base64-encoded, in utf8mb4_general_ci; secret: my-k8s-secret-v1; pwd=/home/me/x1; key: web-tls-2",
    "api_key=settings.api_key1 secret=base64.b64encode(x1) session_key=user_id_1234 --secret-id prod/db/password-v2",
    "postgres://postgres:postgres@localhost/x and https://user:password@host; perldoc -u Some::Module; sha256=r8_DrqA",
    "live_reload_configuration_for_development_server re_match_this_pattern_carefully_now",
    "max_tokens=4096, token_count: 12345678, passwords_checked = 1000000000",
)

NUMBERED = "\n".join(f"    {n}→{line}" for n, line in enumerate(PEM.split("\n"), 1))
"""As tools show a file that they read."""

DENSE = "\n".join(
    [
        *(f"The {name} one is {token}, keep it." for name, token in TOKENS.items()),
        *(said.format(secret) for said, secret in TOLD.values()),
        PEM,
        '{"key":"' + PEM.replace("\n", "\\n") + '\\n"}',
        *HARMLESS,
        "日本語の文に" + TOKENS["github"] + "があります。",
        "x" * 700 + TOKENS["google"] + "-y" * 400 + " " + TOKENS["jwt"] + mixed(1500) + " end",
    ]
)
"""More secrets than sense."""
SECRETS = (*TOKENS.values(), *(secret for _, secret in TOLD.values()), *KEY.split("\n"))
