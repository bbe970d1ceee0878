"""Download of spectra from the archive."""

import gzip
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from archive_server import ArchiveServer, detection_files
from astropy.io import fits

from hf_specclip.spectra import read_spectrum
from hf_specclip.storage import DiskError
from specclip_datasets.sky.services.archive import Product, SpectrumArchive, parse_product
from specclip_datasets.sky.services.http_session import Service, ServiceError
from specclip_datasets.sky.work.store import Store

NAMES = [f"{1000 + i // 3}.0.{i + 1}" for i in range(23)]


@pytest.fixture(scope="module")
def files():
    return {name: detection_files(name) for name in NAMES}


@pytest.fixture
def server(files):
    with ArchiveServer(files) as running:
        yield running


@pytest.fixture
def make(server, retry_policy, tmp_path):
    def archive(folder=tmp_path, **settings):
        service = Service("Chandra archive", per_second=1000, retry_policy=retry_policy)
        settings = {"batch": 5, "workers": 2, "url": f"{server.url}/csccli", **settings}
        return SpectrumArchive(service, Store(folder), folder, **settings)

    return archive


def stored(folder):
    """Return path -> content of all downloaded files."""
    root = Path(folder) / "spectra"
    return {
        str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()
    }


def spectrum_paths(archive):
    """Return detection -> path of the spectrum."""
    return {
        name: archive.folder / found["spectrum"]
        for name, found in archive.store.iter_results("spectra")
    }


def fetch(archive, names=NAMES):
    """Download detections and return the number in each state."""
    archive.enqueue(names)
    archive.fetch()
    return archive.store.counts("spectra")


def expected(files):
    return {
        parse_product(name).path: content for of in files.values() for name, content in of.items()
    }


@pytest.mark.parametrize("batch", [1, 5, 22, 23, 100])
def test_all_batches_are_downloaded(make, server, files, tmp_path, batch):
    archive = make(batch=batch)
    assert fetch(archive)["got"] == 23
    assert set(server.asked) == set(NAMES)
    assert set(server.asked.values()) == {1}
    assert len(server.requests) == -(-23 // batch)
    assert stored(tmp_path) == expected(files)


def test_downloads_are_read_with_responses_and_background(make):
    archive = make()
    fetch(archive)
    index = spectrum_paths(archive)
    assert sorted(index) == sorted(NAMES)
    for name, path in index.items():
        spectrum = read_spectrum(path)
        region = int(name.split(".")[2])
        assert spectrum.obsid == int(name.split(".")[0])
        assert spectrum.rmf is not None
        assert spectrum.arf.at(np.array([1.0]))[0] == pytest.approx(
            10.0 * (1 + region % 7), rel=1e-6
        )  # fmt: skip
        np.testing.assert_array_equal(spectrum.background_counts, spectrum.counts * 3)
        assert not spectrum.notes


def test_latest_versions_are_kept(make, server, tmp_path):
    server.files = {
        "77.1.4": {**detection_files("77.1.4", version=2, arf_version=3)},
        "78.0.1": {
            **detection_files("78.0.1", version=1, seed=1),
            **detection_files("78.0.1", version=4, seed=2),
        },
    }
    archive = make()
    fetch(archive, server.files)
    names = [Path(path).name for path in stored(tmp_path)]
    assert "acisf00077_001N002_r0004_pha3.fits.gz" in names
    assert "acisf00077_001N003_r0004_arf3.fits.gz" in names
    assert not any("N001_r0001" in name for name in names)
    index = spectrum_paths(archive)
    assert read_spectrum(index["77.1.4"]).arf is not None
    assert "N004" in index["78.0.1"].name


def test_interleaved_exposures_are_separate(make, server, tmp_path):
    server.files = {
        "79.0.2": {
            **detection_files("79.0.2", exposure=1),
            **detection_files("79.0.2", exposure=2),
        },
        "80.0.2": detection_files("80.0.2", exposure=2),
    }
    archive = make()
    assert fetch(archive, server.files)["got"] == 2
    assert len(stored(tmp_path)) == 9
    index = spectrum_paths(archive)
    assert "_e1_" in index["79.0.2"].name
    assert "_e2_" in index["80.0.2"].name
    assert read_spectrum(index["80.0.2"]).rmf is not None


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("acisf01575_001N001_r0085_pha3.fits.gz", Product("1575.1.85", 0, "spectrum", 1)),
        ("x/y/acisf04938_000N012_r10043_rmf3.fits", Product("4938.0.10043", 0, "rmf", 12)),
        ("acisf01575_001N003_e2_r0085_arf3.fits", Product("1575.1.85", 2, "arf", 3)),
        ("acisf01575_001N001_r0085_regevt3.fits.gz", None),
        ("hrcf01575_001N001_r0085_pha3.fits.gz", None),
        ("../../etc/passwd", None),
    ],
)
def test_parse_product_names(name, product):
    assert parse_product(name) == product
    if product is not None:
        assert parse_product(product.path) == product


def test_absent_and_failed_products(make, server, files):
    gone, broken, half = NAMES[0], NAMES[7], NAMES[12]
    del server.files[gone]
    [arf] = [name for name in server.files[half] if "arf3" in name]
    del server.files[half][arf]
    [pha] = [name for name in server.files[broken] if "pha3" in name]
    server.files[broken][pha] = b"\x1f\x8bnot gzip after all"
    archive = make()
    counts = fetch(archive)
    assert counts == {"wanted": 0, "got": 21, "absent": 1, "failed": 1}
    found = {item.id: item for item in archive.store.items("spectra")}
    assert found[gone].reason == "no spectrum in the archive"
    assert "Chandra archive, acisf" in found[broken].reason
    assert "sent an invalid file: the gzip stream is damaged" in found[broken].reason
    # After repair, only the failed one is downloaded.
    server.files[broken][pha] = files[broken][pha]
    server.asked.clear()
    archive.store.requeue("spectra")
    assert fetch(archive)["got"] == 22
    assert set(server.asked) == {broken}


def test_files_missing_from_batches_are_requested_singly(make, server, files, tmp_path):
    server.hidden = {name for of in list(files.values())[::3] for name in of}
    archive = make()
    assert fetch(archive)["got"] == 23
    assert stored(tmp_path) == expected(files)
    assert set(server.sent) == server.hidden
    assert set(server.sent.values()) == {1}


def test_failing_batch_is_requested_file_by_file(make, server, files, tmp_path):
    server.spoiled = {NAMES[9]}
    archive = make()
    assert fetch(archive)["got"] == 23
    assert stored(tmp_path) == expected(files)


@pytest.mark.parametrize("damage", ["crc", "cut", "checksum", "other tables", "other observation"])
def test_invalid_files_are_downloaded_again(make, server, files, tmp_path, damage):
    victim = NAMES[4]
    names = sorted(files[victim])
    bad = dict(files[victim])
    pha = names[1]
    if damage == "crc":
        bad[pha] = bad[pha][:-6] + bytes([bad[pha][-6] ^ 1]) + bad[pha][-5:]
    elif damage == "cut":
        bad[pha] = gzip.compress(gzip.decompress(bad[pha])[:-2880])
    elif damage == "checksum":  # a flipped bit before compression
        summed = io.BytesIO()
        with fits.open(io.BytesIO(gzip.decompress(bad[pha]))) as hdus:
            hdus.writeto(summed, checksum=True)
        content = bytearray(summed.getvalue())
        content[-1] ^= 1
        bad[pha] = gzip.compress(bytes(content))
    elif damage == "other tables":
        bad[pha] = bad[names[0]]
    else:
        bad[pha] = next(c for n, c in files[NAMES[20]].items() if "pha3" in n)
    original = server.respond
    spoilt = []

    def respond(request):
        server.files[victim] = files[victim] if spoilt else bad
        if victim in request.query.get("packageset", ""):
            spoilt.append(1)
        return original(request)

    server.respond = respond
    archive = make(workers=1)
    assert fetch(archive, NAMES[:6])["got"] == 6
    assert stored(tmp_path) == expected({name: files[name] for name in NAMES[:6]})
    assert server.sent[pha] == 1


def test_tar_member_paths_are_ignored(make, server, files, tmp_path):
    link = tarfile.TarInfo("acisf09999_000N001_r0001_pha3.fits.gz")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    climbing = tarfile.TarInfo("../../../acisf01000_000N009_r0001_pha3.fits.gz")
    unasked = tarfile.TarInfo("acisf08888_000N001_r0001_pha3.fits.gz")
    climbing.size = unasked.size = 4
    server.extra = [(link, b""), (climbing, b"evil"), (unasked, b"evil")]
    archive = make()
    fetch(archive, NAMES[:1])
    # The newer version in the tar is invalid, so the file is requested singly.
    assert set(stored(tmp_path)) == set(expected({NAMES[0]: files[NAMES[0]]}))
    assert not list(tmp_path.parent.glob("acisf*"))


@pytest.mark.parametrize(("limit", "alone"), [(256 << 20, 0), (5000, 6)])
def test_unpacked_size_of_tar_is_limited(make, server, monkeypatch, limit, alone):
    monkeypatch.setattr("specclip_datasets.sky.services.archive.MAX_TAR_BYTES", limit)
    original = server.respond

    def respond(request):
        answer = original(request)
        if request.path.endswith("/retrieve"):
            answer = replace(answer, content=gzip.compress(answer.content))
        return answer

    server.respond = respond
    archive = make()
    assert fetch(archive, NAMES[:2])["got"] == 2
    assert len(server.sent) == alone  # singly, if the tar is too large


def test_disk_limit_and_forecast(make, files, tmp_path):
    total = sum(len(content) for of in files.values() for content in of.values())
    archive = make(workers=1)
    archive.enqueue(NAMES)
    left, each, _ = archive.forecast()
    assert left == 23
    assert each == pytest.approx(1.103e6, rel=1e-3)
    # Enough for one batch of typical size, then for about half of the actual files.
    archive.max_disk = 5_600_000
    archive.fetch(limit=5)
    archive.max_disk = int(total * 0.6)
    with pytest.raises(DiskError, match=r"MB allowed \(--max-disk\).* \d+ detections"):
        archive.fetch()
    used = sum(map(len, stored(tmp_path).values()))
    assert 0.3 * total < used <= archive.max_disk
    left, each, on_disk = archive.forecast()
    assert on_disk == used
    archive.max_disk = None
    archive.fetch()
    assert abs(left * each + used - total) < 0.1 * total
    assert sum(map(len, stored(tmp_path).values())) == total


def test_full_disk_stops_and_resumes(make, files, tmp_path, monkeypatch):
    import errno

    import hf_specclip.storage as module

    archive = make(workers=1)
    archive.enqueue(NAMES)
    written = []
    real_sync = module.os.fsync

    def fsync(descriptor):
        written.append(descriptor)
        if len(written) == 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_sync(descriptor)

    monkeypatch.setattr(module.os, "fsync", fsync)
    with pytest.raises(DiskError, match="is full: make room and run again"):
        archive.fetch()
    assert not list((tmp_path / "spectra").rglob(".partial-*"))
    counts = archive.store.counts("spectra")
    assert counts["got"] >= 5
    assert fetch(archive)["got"] == 23
    assert stored(tmp_path) == expected(files)


def test_outage_with_status_404_stops_the_stage(make, server):
    server.plan = [404] * 1000
    archive = make()
    archive.enqueue(NAMES)
    with pytest.raises(ServiceError, match="HTTP 404"):
        archive.fetch()
    assert archive.store.counts("spectra")["wanted"] == 23
    server.plan = []
    assert fetch(archive)["got"] == 23


def test_products_can_be_excluded(make, tmp_path):
    archive = make(kinds=("spectrum", "arf"))
    assert fetch(archive)["got"] == 23
    assert not any("rmf3" in path for path in stored(tmp_path))
    assert archive.forecast()[0] == 0
