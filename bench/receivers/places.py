# ruff: noqa: RUF001  # what looks alike is what this is about
"""Decides where endpoints point: at receivers that may be posted to, and in every spelling at places that may not."""

import re

# Stands for a public address, and what is behind the wall.
PUBLIC, BEHIND = "127.9.9.9", "127.0.0.2"
REBINDS = "rebinds.example"
RECEIVERS = ("good", "fails", "hangs", "moves")
NAMES = {f"{each}.example": [PUBLIC] for each in RECEIVERS} | {
    "127.0.0.2.nip.example": [BEHIND], "127-0-0-2.nip.example": [BEHIND], "7f000002.nip.example": [BEHIND],
    "v6.nip.example": ["::1"], "mapped.nip.example": ["::ffff:127.0.0.2"], "any.nip.example": ["0.0.0.0"],
    "local.nip.example": ["fe80::1%lo"], "metadata.nip.example": ["169.254.169.254"], "home.nip.example": ["10.0.0.1"],
    "first.nip.example": [BEHIND, PUBLIC], "last.nip.example": [PUBLIC, BEHIND], "six.nip.example": [PUBLIC, "::1"],
}  # fmt: skip

# Hosts, each of which something somewhere takes for an address inside: numbers in every base and width, IPv6 around an
# IPv4, digits and dots of other scripts, what is escaped, names, and what stands before an @.
WRITTEN = """
127.0.0.2 127.2 127.0.2 127.0.0.2. 127.000.000.002 2130706434 2130706434. 6425673730 127.0.0.258
0x7f000002 0X7F000002 0x7f.0.0.2 0x7f.0x0.0x0.0x2 0x7f.2 0x7f.0.2 0x7f000002. 0x000000007f000002
0177.0.0.2 0177.2 0177.00.00.02 017700000002 00000177.0.0.02 0177.0x0.0.2
[::1] [0:0:0:0:0:0:0:1] [0000::0001] [::] [::ffff:127.0.0.2] [::FFFF:127.0.0.2] [::ffff:7f00:2]
[0:0:0:0:0:ffff:7f00:2] [::127.0.0.2] [::7f00:2] [::ffff:0:127.0.0.2] [64:ff9b::7f00:2] [64:ff9b:1::7f00:2]
[2002:7f00:2::] [2001:0:7f00:2::] [fe80::1%25lo] [fe80::1%lo] [::1%25lo] [::1%lo] [fc00::1] [fd00:ec2::254] [fec0::1]
0 0.0.0.0 00 0x0 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376
192.0.0.192 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255
①②⑦.⓪.⓪.② １２７.０.０.２ 𝟏𝟐𝟕.𝟎.𝟎.𝟐 127。0。0。2 127｡0｡0｡2 127．0．0．2 ⓛⓞⓒⓐⓛⓗⓞⓢⓣ ｌｏｃａｌｈｏｓｔ 0ⓧ7f000002
127.0.0.%32 %31%32%37.0.0.2 127%2e0%2e0%2e2 %6c%6f%63%61%6c%68%6f%73%74
localhost LOCALHOST localhost. localhost.localdomain ip6-localhost good.example%00.127.0.0.2
good.example@127.0.0.2 good.example:443@127.0.0.2 good.example%2f@127.0.0.2 %67ood.example%40@127.0.0.2
@127.0.0.2 :@127.0.0.2
"""
HOSTS = WRITTEN.split()
HOSTS += sorted(name for name in NAMES if "nip" in name)
# What parsers of URLs part in different places; PORT is where it must stay silent.
URLS = [
    "https://127.0.0.2:PORT#@good.example/", "https://127.0.0.2:PORT?@good.example/",
    "https://127.0.0.2:PORT\\@good.example/", "https://good.example\\@127.0.0.2:PORT/",
    "https:127.0.0.2:PORT/", "https:///127.0.0.2:PORT/", "https:/127.0.0.2:PORT/", "//127.0.0.2:PORT/",
    "https:\\\\127.0.0.2:PORT/", " https://127.0.0.2:PORT/", "https://127.0.0.2:PORT\t/", "https://\t127.0.0.2:PORT/",
    "https://good.example\r\n@127.0.0.2:PORT/", "http://127.0.0.2:PORT/", "HTTP://localhost:PORT/",
    "ftp://127.0.0.2:PORT/", "gopher://127.0.0.2:PORT/_x", "file://127.0.0.2:PORT/etc/passwd", "unix:///tmp/x.sock",
]  # fmt: skip


def spellings(port: int) -> list[str]:
    return [f"https://{host}:{port}/x" for host in HOSTS] + [each.replace("PORT", str(port)) for each in URLS]


def literal_of(host: str) -> bool:
    """Whether a resolver would read it as a number rather than look it up."""
    return bool(re.fullmatch(r"[0-9a-fx.:%]+(lo)?", host))
