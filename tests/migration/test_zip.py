"""Zips that mean harm: bombs, paths that lead outside, links, damage. Nothing is written beside the package's own folder."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from backoffice.kernel.errors import InvalidInput
from backoffice.migration import package
from backoffice.migration.package import unpack
from crm.models import Client
from tests.migration.packages import bring_in, example, house, write


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    """A zip with these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def refused(path: Path, folder: Path) -> str:
    """The code with which a zip is refused."""
    folder.mkdir()
    with pytest.raises(InvalidInput) as refusal:
        unpack(path, folder)
    return refusal.value.code


@pytest.mark.django_db
def test_a_zip_of_a_package_is_a_package(tmp_path: Path) -> None:
    # given
    house()
    folder = write(tmp_path / "package", example())
    path = zip_of(tmp_path / "package.zip", {file.name: file.read_bytes() for file in folder.iterdir()})
    # when, then
    assert bring_in(path).ok
    assert Client.objects.count() == 3


@pytest.mark.parametrize(
    "name",
    [
        "../clients.csv",
        "a/../../clients.csv",
        "/tmp/clients.csv",
        "folder/clients.csv",
        "..\\clients.csv",
        "C:clients.csv",
        ".hidden.csv",
        "clients.exe",
        "kunden\u202e.csv",
        "x" * 200 + ".csv",
        "nested.zip",
    ],
)
def test_a_name_that_is_no_plain_file_of_a_package_is_refused(tmp_path: Path, name: str) -> None:
    path = zip_of(tmp_path / "p.zip", {"manifest.json": b"{}", name: b"x"})
    assert refused(path, tmp_path / "out") == "zip_path"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out", "p.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("clients.csv")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert refused(tmp_path / "p.zip", tmp_path / "out") == "zip_link"


def test_a_bomb_is_stopped_by_what_comes_out_of_it(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "p.zip", {"manifest.json": b"{}", "clients.csv": b"0" * (20 * 1024 * 1024)})
    assert refused(path, tmp_path / "out") == "zip_bomb"
    written = sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert written < 10 * 1024 * 1024


def test_a_zip_that_unpacks_to_too_much_is_stopped(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "p.zip", {"a.csv": b"x" * 600, "b.csv": b"x" * 600})
    with pytest.raises(InvalidInput) as refusal:
        unpack(path, tmp_path, most_bytes=1000)
    assert refusal.value.code == "zip_bomb"


def test_too_many_members_and_a_name_twice_are_refused(tmp_path: Path) -> None:
    many = zip_of(tmp_path / "many.zip", {f"{number}.csv": b"" for number in range(package.MAXIMUM_MEMBERS + 1)})
    assert refused(many, tmp_path / "one") == "bad_zip"
    twice = zip_of(tmp_path / "twice.zip", {"clients.csv": b"a", "CLIENTS.csv": b"b"})
    assert refused(twice, tmp_path / "two") == "zip_twice"


def test_damage_is_told_as_such(tmp_path: Path) -> None:
    good = zip_of(tmp_path / "good.zip", {"manifest.json": b"{}" * 5000, "clients.csv": bytes(range(256)) * 50})
    data = bytearray(good.read_bytes())
    for place in range(60, 120):
        data[place] ^= 0xFF
    (tmp_path / "bad.zip").write_bytes(bytes(data))
    assert refused(tmp_path / "bad.zip", tmp_path / "one") == "bad_zip"
    (tmp_path / "cut.zip").write_bytes(good.read_bytes()[:100])
    assert refused(tmp_path / "cut.zip", tmp_path / "two") == "bad_zip"
    (tmp_path / "text.zip").write_text("no zip")
    assert refused(tmp_path / "text.zip", tmp_path / "three") == "bad_zip"


def test_no_package_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refusal:
        bring_in(tmp_path / "nothing.zip")
    assert refusal.value.code == "no_package"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput) as refusal:
        bring_in(tmp_path / "empty")
    assert refusal.value.code == "no_manifest"
