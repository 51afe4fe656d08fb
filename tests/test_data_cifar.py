"""CIFAR from the original binary archives: exact pixels, verified bytes, no network."""

import dataclasses
import functools
import hashlib
import http.server
import io
import tarfile
import threading
import time
from unittest import mock

import numpy as np
import pytest

from resnet_jax.data.sources import archive, cifar
from resnet_jax.data.sources.source import to_arrays
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.errors import DataError

CLOSED = "http://127.0.0.1:9/"  # the discard port: nobody answers


def content(layout, seed=0):
    """Random files in the binary layout, by their names in the archive."""
    rng = np.random.default_rng(seed)
    files = {}
    for name in (*layout.train, layout.test):
        n = layout.test_images if name == layout.test else layout.train_images
        labels = [rng.integers(0, k, (n, 1)) for *_, k in layout.labels]
        planes = rng.integers(0, 256, (n, cifar.PIXELS))
        files[name] = np.hstack([*labels, planes]).astype(np.uint8).tobytes()
    for _, name, k in layout.labels:
        files[name] = "".join(f"class{i}\n" for i in range(k)).encode()
    return files


def pack(files, path):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def inject(monkeypatch, name, path, url=CLOSED):
    """Let this very file be the archive of `name`."""
    data = path.read_bytes()
    found = archive.Archive(
        url=url + path.name, size=len(data), sha256=hashlib.sha256(data).hexdigest()
    )
    monkeypatch.setitem(cifar.ARCHIVES, name, found)


@pytest.fixture(params=["cifar10", "cifar100"])
def small(request, monkeypatch):
    """A data set with the layout of the original, but few images."""
    name = request.param
    layout = dataclasses.replace(cifar.LAYOUTS[name], train_images=4, test_images=3)
    monkeypatch.setitem(cifar.LAYOUTS, name, layout)
    monkeypatch.setenv("no_proxy", "*")
    return name, layout


def test_pixels_and_labels_are_those_of_the_archive(small, tmp_path, monkeypatch):
    name, layout = small
    files = content(layout)
    inject(monkeypatch, name, pack(files, tmp_path / f"{name}.tar.gz"))
    found = open_splits(name, directory=tmp_path)
    known, _, _ = found["train"].fingerprint.rpartition(":")
    assert known == f"{name}:3.0.2:train:{4 * len(layout.train)}"
    assert found["test"].num_classes == layout.labels[-1][-1]
    # One label byte (CIFAR-100: coarse, then fine), then the planes of R, G and B.
    fine = len(layout.labels) - 1
    test = np.frombuffer(files[layout.test], np.uint8).reshape(3, -1)
    expected = {
        (tuple(record[-3072::1024][:3]), record[fine], record[-1]) for record in test
    }
    arrays = to_arrays(found["test"])
    got = {
        (tuple(image[0, 0]), label, image[31, 31, 2])
        for image, label in zip(arrays["image"], arrays["label"], strict=True)
    }
    assert got == expected
    (tmp_path / f"{name}.tar.gz").unlink()
    again = open_splits(name, directory=tmp_path)
    assert len(again["train"]) == 4 * len(layout.train), "prepared once, for good"


def test_another_file_of_that_name_is_refused(small, tmp_path, monkeypatch):
    name, layout = small
    path = pack(content(layout), tmp_path / f"{name}.tar.gz")
    inject(monkeypatch, name, path)
    pack(content(layout, seed=1), path)
    with pytest.raises(
        DataError, match=rf"{name}.tar.gz: .*must be \d+ bytes with sha"
    ):
        open_splits(name, directory=tmp_path)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("change", ["shorter", "absent", "link", "text"])
def test_an_archive_with_other_members_is_refused(small, tmp_path, monkeypatch, change):
    name, layout = small
    files = content(layout)
    path = tmp_path / f"{name}.tar.gz"
    if change == "shorter":
        files[layout.test] = files[layout.test][:-1]
    else:
        del files[layout.test]
    pack(files, path)
    if change == "link":
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo(layout.test)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(member)
    if change == "text":
        path.write_text("<html>moved</html>")
    inject(monkeypatch, name, path)
    with pytest.raises(DataError, match=r"tar.gz: (holds no|.*must be|no readable)"):
        open_splits(name, directory=tmp_path)


def test_hostile_members_are_never_written(small, tmp_path, monkeypatch):
    name, layout = small
    (tmp_path / "inner").mkdir()
    files = {"../escaped.txt": b"x", "/tmp/escaped.txt": b"x", **content(layout)}
    inject(monkeypatch, name, pack(files, tmp_path / "inner" / f"{name}.tar.gz"))
    found = open_splits(name, directory=tmp_path / "inner")
    assert len(found["test"]) == 3
    assert not list(tmp_path.rglob("escaped.txt"))


def test_offline_says_what_is_missing_within_seconds(small, tmp_path, monkeypatch):
    name, layout = small
    inject(monkeypatch, name, pack(content(layout), tmp_path / "archive.tar.gz"))
    start = time.monotonic()
    with pytest.raises(DataError) as error:
        open_splits(name, directory=tmp_path / "empty")
    assert time.monotonic() - start < 15
    line = str(error.value)
    assert "archive.tar.gz" in line and "place the archive in" in line
    assert str(tmp_path / "empty" / "downloads") in line and "\n" not in line


def test_a_silent_server_is_given_up(small, tmp_path, monkeypatch):
    name, _ = small
    monkeypatch.setattr(archive, "TIMEOUT", 0.2)
    release = threading.Event()
    stuck = mock.Mock(side_effect=lambda *_, **__: release.wait())
    monkeypatch.setattr(archive.urllib.request, "urlopen", stuck)
    with pytest.raises(DataError, match=r"cannot be read \(no answer\)"):
        open_splits(name, directory=tmp_path)
    release.set()


@pytest.fixture
def server(tmp_path):
    """A web server on this machine, for the folder `web`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    web = tmp_path / "web"
    web.mkdir()
    handler = functools.partial(Quiet, directory=web)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield web, f"http://127.0.0.1:{found.server_port}/"
        found.shutdown()
        thread.join()


def test_a_download_is_verified_and_kept(small, tmp_path, monkeypatch, server):
    name, layout = small
    web, url = server
    inject(monkeypatch, name, pack(content(layout), web / "archive.tar.gz"), url)
    found = open_splits(name, directory=tmp_path / "data")
    assert len(found["test"]) == 3
    downloads = [p.name for p in (tmp_path / "data" / "downloads").iterdir()]
    assert "archive.tar.gz" in downloads


@pytest.mark.parametrize("served", ["other", "longer", "shorter"])
def test_a_wrong_download_is_refused(small, tmp_path, monkeypatch, server, served):
    name, layout = small
    web, url = server
    path = pack(content(layout), web / "archive.tar.gz")
    inject(monkeypatch, name, path, url)
    data = path.read_bytes()
    wrong = {"other": data[::-1], "longer": data + b"x", "shorter": data[:-1]}
    path.write_bytes(wrong[served])
    with pytest.raises(DataError, match=r"must be .* bytes with sha256"):
        open_splits(name, directory=tmp_path / "data")
    assert not list((tmp_path / "data" / "downloads").iterdir())


def test_the_published_archives():
    sizes = {name: found.size for name, found in cifar.ARCHIVES.items()}
    assert sizes == {"cifar10": 170_052_171, "cifar100": 168_513_733}
    for name, layout in cifar.LAYOUTS.items():
        images = layout.train_images * len(layout.train), layout.test_images
        assert images == (50_000, 10_000), name
    assert cifar.LAYOUTS["cifar10"].sizes()["cifar-10-batches-bin/test_batch.bin"] == (
        30_730_000
    )
