"""Decides how a file is refused, and which bytes are a program wherever they stand."""

from typing import NoReturn

from chassis.errors import Invalid

_ELF, _WASM, _DEX, _LINK = b"\x7fELF", b"\0asm", b"dex\n", b"L\0\0\0\x01\x14\x02\0"
_MACH = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_FLASH = (b"CWS", b"FWS", b"ZWS")
NEWEST_FLASH = 60
# What scanners agree to take for a virus, split so that no scanner takes this file for one.
_TEST_VIRUS = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE"
STUB = 64


def refuse(code: str, why: str) -> NoReturn:
    """Invalid: the file is dangerous in the way that `code` names."""
    raise Invalid.field("file", why, code)


def refuse_programs(head: bytes) -> None:
    """Refuses what a machine would run, by its first bytes."""
    if head.startswith((_ELF, _WASM, _DEX, _LINK, *_MACH)) or _is_windows_program(head) or _is_flash(head):
        refuse("executable", "the file is a program")
    if head.startswith(b"#!") or head.lstrip()[:5].lower() == b"<?php":
        refuse("script", "the file is a script")
    if head.lstrip().startswith(_TEST_VIRUS):
        refuse("malware", "the file is the test virus")


def _is_windows_program(head: bytes) -> bool:
    """A stub for DOS, and most often a header where the stub says; a text that begins with MZ has zeros in neither."""
    if not head.startswith(b"MZ"):
        return False
    place = int.from_bytes(head[60:STUB], "little")
    return head[place : place + 2] in (b"PE", b"NE", b"LE", b"LX") or b"\0" in head[:STUB]


def _is_flash(head: bytes) -> bool:
    return head.startswith(_FLASH) and 0 < head[3:4][0] < NEWEST_FLASH if len(head) > 3 else False
