"""The locks: what may stand in them, that tests never take away what a running stack uses; and what an installation
leaves nobody to compile."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from deploy import install

LOCKS = [install.RUNTIME, install.DEV, install.UV_LOCK]


def pins(lock: Path) -> set[str]:
    return set(re.findall(r"^[a-z0-9][^ ]+==[^ ]+", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.name))
def test_a_lock_names_no_host(lock: Path) -> None:
    assert "://" not in lock.read_text()
    assert "index-url" not in lock.read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.name))
def test_every_pin_has_a_hash(lock: Path) -> None:
    for pin in re.split(r"\n(?=[a-z0-9])", lock.read_text().strip()):
        assert "--hash=sha256:" in pin, pin


@pytest.mark.parametrize("lock", [install.RUNTIME, install.UV_LOCK], ids=lambda lock: str(lock.name))
def test_the_dev_lock_holds_every_other_pin(lock: Path) -> None:
    assert pins(lock) <= pins(install.DEV)


def test_a_stamp_counts_for_one_lock_and_one_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "PYTHON", tmp_path / "python")
    lock = tmp_path / "some.lock"
    lock.write_text("a==1\n")
    (tmp_path / "pyvenv.cfg").write_text("version = 3.11.7\n")
    assert not install.is_installed(lock)
    install.stamp(lock).write_text(install.fingerprint(lock))
    assert not install.is_installed(lock), "no interpreter"
    install.PYTHON.touch()
    assert install.is_installed(lock)
    (tmp_path / "pyvenv.cfg").write_text("version = 3.12.1\n")
    assert not install.is_installed(lock)
    (tmp_path / "pyvenv.cfg").write_text("version = 3.11.7\n")
    lock.write_text("a==2\n")
    assert not install.is_installed(lock)


def test_libraries_and_our_own_code_are_compiled_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "PYTHON", sys.executable)
    libraries = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages"
    sources = [libraries / "library.py", *(tmp_path / name / "some.py" for name in install.OURS)]
    for source in [*sources, libraries / "of_another_python.py"]:
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text("nothing = None\n" if source in sources else "print 'nothing'\n")
    install.compile_all()
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / ".venv" / "pycache"))
    for source in sources:
        assert Path(importlib.util.cache_from_source(str(source))).exists(), source
