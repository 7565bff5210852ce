"""The colour bar as an image by itself."""

from __future__ import annotations

import numpy as np
import pydicom

from refinefuse_med.io.objects.colour_bar import draw_colour_bar, write_colour_bar
from refinefuse_med.io.objects.derived import derive_study
from refinefuse_med.volume import Grid
from tests.io.dicom_sources import STUDY_UID, mr_source
from tests.io.objects.helpers import SHAPE, colour

COLOURS = np.stack([np.arange(256)] * 3, axis=1).astype(np.uint8)


def test_bar_runs_from_low_below_to_high_above():
    picture = draw_colour_bar(COLOURS, (0, 8), "SUVbw", "PT")
    column = picture[32:288, 48, 0].astype(int)
    assert (column[0], column[-1]) == (255, 0)
    assert (np.diff(column) <= 0).all()
    assert picture[:, 74:].any()  # the values stand beside it


def test_bar_is_the_last_series_and_has_no_place(tmp_path, oblique):
    source = mr_source(Grid(SHAPE, oblique))
    path = write_colour_bar(
        COLOURS,
        (0, 8),
        tmp_path / "bar.dcm",
        units="SUVbw",
        title="PT, hot_iron",
        study=derive_study(source, colour(oblique)),
        sources=(source,),
    )
    header = pydicom.dcmread(path)
    assert header.StudyInstanceUID == STUDY_UID
    assert header.SeriesNumber == 709
    for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "PixelSpacing"):
        assert keyword not in header
    np.testing.assert_array_equal(
        header.pixel_array, draw_colour_bar(COLOURS, (0, 8), "SUVbw", "PT, hot_iron")
    )
