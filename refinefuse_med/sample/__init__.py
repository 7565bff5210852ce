"""The simulated sample study: one head in four modalities, with the exact truth."""

from refinefuse_med.sample.study import make_sample
from refinefuse_med.sample.volumes import sample_truth, sample_volume

__all__ = ["make_sample", "sample_truth", "sample_volume"]
