"""The secrets that are looked for without configuration: formats that their issuers document.

Keywords of rules over white space must stand in one word of the text. All patterns are RE2's: no look-around.
"""

from __future__ import annotations

from luthien_stream.text.secrets import Rule
from luthien_stream.text.vendor_tokens import VENDORS

_B = r"(?:^|[^A-Za-z0-9_])"
"""What may stand before a token that begins with letters."""

_EXAMPLES = (
    r"^(?i:pass|password|passwd|pwd|pw|secret|changeme|example|postgres|mysql|root|admin|user|guest|test|x+|\.+)$",
)
"""What documentation and containers for development have in the place of a password."""

TOKENS = (
    Rule("anthropic-key", r"sk-ant-[A-Za-z0-9]+-?[A-Za-z0-9_-]{16,}", ("sk-ant-",)),
    Rule("openai-key", _B + r"(sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{16,})", ("sk-",)),
    Rule("openai-key", r"sk-[A-Za-z0-9_-]{0,80}T3BlbkFJ[A-Za-z0-9_-]{16,}", ("t3blbkfj",)),
    Rule("secret-key", _B + r"(sk-(?:or-v1-|lf-)?[A-Za-z0-9]{32,})", ("sk-",)),
    Rule("github-token", r"gh[pousr]_[A-Za-z0-9_]{30,}", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    Rule("github-token", r"github_pat_[A-Za-z0-9_]{22,}", ("github_pat_",)),
    Rule(
        "gitlab-token",
        r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]+)*",
        ("gl",),
    ),
    Rule("gitlab-token", r"GR1348941[A-Za-z0-9_-]{20,}", ("gr1348941",)),
    Rule("google-api-key", r"AIza[A-Za-z0-9_-]{35}", ("aiza",)),
    Rule("google-oauth", r"GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{20,}", ("gocspx-", "ya29.")),
    Rule("slack-token", r"xox[abeoprs]-(?:[0-9A-Za-z]+-)+[0-9A-Za-z]{8,}", ("xox",)),
    Rule("slack-token", r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-f0-9]+", ("xapp-",)),
    Rule(
        "slack-webhook", r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9_/+-]{20,})", ("hooks.slack",)
    ),
    Rule("discord-webhook", r"discord(?:app)?\.com/api/webhooks/([0-9]{15,20}/[A-Za-z0-9_-]{60,})", ("webhooks",)),
    Rule("discord-token", _B + r"([MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,})"),
    Rule(
        "stripe-key",
        r"[rs]k_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[A-Za-z0-9+/=]{24,}",
        ("k_live_", "k_test_", "whsec_"),
    ),
    Rule("square-token", r"sq0(?:csp|atp|idp)-[0-9A-Za-z_-]{22,}|EAAA[0-9A-Za-z_-]{60}", ("sq0", "eaaa")),
    Rule("npm-token", r"npm_[A-Za-z0-9]{36,}", ("npm_",)),
    Rule("npm-token", r"_authToken=[\"']?([A-Za-z0-9_+/=-]{20,})", ("_authtoken",)),
    Rule("pypi-token", r"pypi-[A-Za-z0-9_-]{50,}", ("pypi-",)),
    Rule("huggingface-token", _B + r"(hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,})", ("hf_", "api_org_")),
    Rule("aws-access-key-id", _B + r"((?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16})(?:$|[^A-Za-z0-9])"),
    Rule("azure-account-key", r"(?i:AccountKey|SharedAccessKey|SharedAccessSignature)=([A-Za-z0-9+/=%_-]{40,})"),
    Rule("azure-sas", r"[?&]sig=([A-Za-z0-9%+/=_-]{40,})", ("sig=",)),
    Rule("azure-client-secret", _B + r"([A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34})", ("q~",)),
    Rule("jwt", r"eyJ[A-Za-z0-9_=-]{8,}\.eyJ[A-Za-z0-9_=-]{4,}(?:\.{1,2}[A-Za-z0-9_+/=-]+)*", ("eyj",)),
    Rule(
        "url-password",
        r"[A-Za-z][A-Za-z0-9+.-]*://[^\s:/?#\[\]@\"'<>`]*:([^\s/?#@\"'<>`{}‹›$*][^\s/?#@\"'<>`‹›]{0,255})@[^\s@]",
        ("://",),
        unless=_EXAMPLES,
    ),
    Rule(
        "connection-password",
        r"(?i:[;?&\"'](?:password|pwd)=)([^\s;&\"'<>{}‹›$*][^\s;&\"'<>‹›]{3,})",
        ("password=", "pwd="),
        unless=_EXAMPLES,
    ),
    Rule("sendgrid-key", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", ("sg.",)),
    Rule("mailchimp-key", _B + r"([0-9a-f]{32}-us[0-9]{1,2})(?:$|[^0-9A-Za-z])", ("-us",)),
    Rule("mailgun-key", _B + r"(key-[0-9a-f]{32})(?:$|[^0-9A-Za-z])", ("key-",)),
    Rule("telegram-token", r"(?:^|[^0-9])([0-9]{8,10}:[0-9A-Za-z_-]{35})(?:$|[^0-9A-Za-z_-])", (":",)),
    Rule("twilio-key", _B + r"((?:AC|SK)[0-9a-f]{32})(?:$|[^0-9A-Za-z])"),
    Rule(
        "artifactory-token",
        r"(?:^|[^A-Za-z0-9_+/])(AKC[A-Za-z0-9]{10,80}|AP[0-9A-F][A-Za-z0-9]{30,80})(?:$|[^A-Za-z0-9+/=])",
        ("akc", "ap"),
    ),
    Rule("artifactory-token", _B + r"(cmVmdGtuOi[A-Za-z0-9_-]{40,})"),
    Rule(
        "cloud-token",
        r"do[opr]_v1_[a-f0-9]{64}|dapi[a-f0-9]{32}|hv[sbr]\.[A-Za-z0-9_-]{24,}|dp\.[a-z]{2,5}\.[A-Za-z0-9]{40,}",
    ),
    Rule("shopify-token", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", ("shp",)),
    Rule(
        "app-token",
        r"lin_api_[A-Za-z0-9]{40}|glsa_[A-Za-z0-9]{32}_[a-f0-9]{8}|ntn_[A-Za-z0-9]{40,}|PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    ),
    Rule("ai-key", _B + r"((?:gsk|pplx|xai|tvly|csk|fw|nvapi)[_-][A-Za-z0-9_-]{30,}|r8_[A-Za-z0-9]{37})"),
    Rule("age-key", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}", ("age-secret-key",)),
    Rule("softlayer-key", r"api\.softlayer\.com/soap/v3(?:\.1)?/([a-z0-9]{64})", ("softlayer",)),
)

_NAMED = (
    r"(?i:(?:password|passwd|passphrase|secret[_-]?(?:access[_-]?)?key|client[_-]?secret"
    r"|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|private[_-]?key"
    r"|account[_-]?key|_secret|_token|_pwd))"
)
_IS = r"[\"'\]]{0,3}[ \t]{0,8}(?:=|:=|:|=>|::)[ \t]{0,8}"
"""Between a name and its value."""
_BARE = r"([^\s\"'`,;<>(){}\[\]‹›$%&*\\][^\s\"'`,;<>(){}\[\]‹›\\]{6,254}[^\s\"'`,;<>(){}\[\]‹›\\.!?:])"
_WORDS = ("password", "passwd", "passphrase", "secret", "key", "token", "_pwd")
_AWS = r"(?i:aws[^\n]{0,40}?(?:key|pwd|pw|password|pass|token|secret)[^\n]{0,20}?)[=:\"' ]"

_WEAK = (
    r"(?:^|[^A-Za-z0-9])(?i:secret|pwd|(?:db|database|mysql|postgres|redis|smtp)[_-]?pass"
    r"|(?:encryption|signing|master|session|license)[_-]?key)"
)
"""Names that are given to other things as well."""
_OPTION = r"--(?:\w+-)?(?:password|passwd|passphrase|token|secret|api-key)[ \t]{1,4}[\"']?"
_WORD = r"(?:[A-Za-z]?[a-z]*|[A-Z]+)[0-9]{0,4}[a-z]{0,8}"
_DOTTED = r"^[A-Za-z_]\w{0,15}(?:\.[A-Za-z_]\w{0,15}){1,3}$"
_PLAIN = (rf"^{_WORD}(?:[-_.:/]{_WORD})+[.,;:]?$", _DOTTED, r"^[/.~$]", r"^[0-9.]+[A-Za-z]{0,3}$")
"""Names of several words, paths, numbers with a unit."""

_REACH = 128

ASSIGNED = (
    Rule("assigned-secret", _NAMED + _IS + _BARE, _WORDS, _REACH, digits=True, unless=(_DOTTED,)),
    Rule("assigned-secret", _NAMED + _IS + r"\\?[\"'`]([^\s\"'`‹›]{8,256})[\"'`]", _WORDS, _REACH, digits=True),
    Rule("aws-secret-key", _AWS + r"([0-9A-Za-z/+]{40})(?:$|[^0-9A-Za-z/+=])", ("aws",), _REACH, digits=True),
    Rule(
        "http-credential",
        r"(?i:bearer|basic|ssws)[ \t]{1,4}([A-Za-z0-9_.~+/=-]{16,})",
        ("bearer", "basic", "ssws"),
        True,
        digits=True,
    ),
    Rule(
        "http-credential",
        r"(?:-u|--user)[ =][\"']?[^\s:\"']{1,64}:([^\s\"':@‹›$][^\s\"'@‹›$]{5,})",
        ("-u", "--user"),
        _REACH,
    ),
    Rule(
        "assigned-secret",
        _WEAK + _IS + r"[\"'`]?" + _BARE,
        (*_WORDS, "pwd", "_pass", "-pass"),
        _REACH,
        0,
        3.2,
        True,
        _PLAIN,
    ),
    Rule("password-option", _OPTION + _BARE, _WORDS, _REACH, digits=True, unless=_PLAIN),
    Rule("password-option", r"sshpass[ \t]+-p[ \t]?[\"']?" + _BARE, ("sshpass",), _REACH, unless=_PLAIN),
    Rule(
        "password-option",
        r"(?:mysql|mariadb)\w*[ \t][^|;&\n]{0,80}?-p" + _BARE,
        ("mysql", "mariadb"),
        _REACH,
        digits=True,
        unless=_PLAIN,
    ),
    Rule(
        "told-password",
        r"(?i:password|passphrase|passcode)[ \t](?i:is|was)[: \t]{1,4}[\"'`]?" + _BARE,
        ("password", "passphrase", "passcode"),
        _REACH,
        digits=True,
        unless=_PLAIN,
    ),
    Rule(
        "xml-password",
        r"<(?i:[\w.:-]{0,40}(?:password|passphrase|secret|token|api_?key))>([^<>\s‹›]{8,})</",
        _WORDS,
        _REACH,
        digits=True,
        unless=_PLAIN,
    ),
)

KNOWN: tuple[Rule, ...] = (*TOKENS, *VENDORS, *ASSIGNED)
