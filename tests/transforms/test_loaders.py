"""MONAI's data sets and loaders, with everything that a volume carries."""

import warnings

import pytest
import torch
from monai.data import (
    CacheDataset,
    DataLoader,
    Dataset,
    PersistentDataset,
    ThreadDataLoader,
    decollate_batch,
    list_data_collate,
)
from monai.transforms import Compose, RandFlipd

from refinefuse_med.sample import make_sample
from refinefuse_med.transforms import CoRegisterd, FuseVolumesd, LoadVolumed
from refinefuse_med.volume import source_of

KEYS = ["anatomical", "functional"]


@pytest.fixture(scope="module")
def line():
    return Compose(
        [
            LoadVolumed(KEYS),
            CoRegisterd("anatomical", "functional", method="none"),
            FuseVolumesd("anatomical", "functional", "fused"),
        ]
    )


@pytest.fixture(scope="module")
def once(files, line):
    return line(files)["fused"].as_tensor()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_collates_and_decollates(files, line, once, workers):
    loader = DataLoader(
        Dataset([files, files], line),
        batch_size=2,
        num_workers=workers,
        collate_fn=list_data_collate,
    )
    batch = next(iter(loader))
    assert batch["fused"].shape == (2, *once.shape)
    assert batch["functional_registration"]["verdict"] == ["ok", "ok"]
    for item in decollate_batch(batch):
        # A worker has one thread, and sums in another order.
        assert int((item["fused"].as_tensor().int() - once.int()).abs().max()) <= 1
        assert source_of(item["fused"]).path == str(files["anatomical"])
        assert [op["class"] for op in item["functional"].applied_operations] == ["CoRegister"]


def test_workers_may_be_threads(files, line, once):
    loader = ThreadDataLoader(Dataset([files], line), num_workers=1, use_thread_workers=True)
    assert torch.equal(next(iter(loader))["fused"][0].as_tensor(), once)


def test_a_cache_in_memory_is_not_changed_by_what_follows(files, line, once):
    flip = RandFlipd("fused", prob=1.0, spatial_axis=0)
    data = CacheDataset([files], Compose([*line.transforms, flip]), progress=False)
    for _ in range(2):
        assert torch.equal(data[0]["fused"].as_tensor(), once.flip(1))


@pytest.mark.parametrize("dicom", [False, True], ids=["nifti", "dicom"])
def test_a_cache_on_the_disk_is_read_back_safely_with_its_headers(
    files, once, line, tmp_path, dicom
):
    if dicom:
        make_sample(tmp_path / "study", dicom=True)
        files = {"anatomical": tmp_path / "study" / "MR"}
        line = Compose([LoadVolumed("anatomical")])
    first = PersistentDataset([files], line, cache_dir=tmp_path / "cache", track_meta=True)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # MONAI warns where it cannot read its cache
        again = PersistentDataset([files], line, cache_dir=tmp_path / "cache", track_meta=True)[0]
    key = "anatomical" if dicom else "fused"
    assert torch.equal(first[key].as_tensor(), again[key].as_tensor())
    before, after = source_of(first[key]), source_of(again[key])
    assert (before.path, before.format, before.warnings) == (
        after.path,
        after.format,
        after.warnings,
    )
    assert len(after.datasets) == (first[key].shape[-1] if dicom else 0)
    assert all(x == y for x, y in zip(before.datasets, after.datasets, strict=True))


def test_a_cached_volume_still_inverts_in_another_run(files, tmp_path):
    def run():
        line = Compose([LoadVolumed(KEYS), CoRegisterd(*KEYS, method="none")])
        return line, PersistentDataset([files], line, cache_dir=tmp_path, track_meta=True)[0]

    run()
    line, cached = run()
    assert line.inverse(cached)["functional"].shape == (1, 37, 41, 31)
