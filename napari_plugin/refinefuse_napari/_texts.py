"""Every word that the panel says, in one place."""

from __future__ import annotations

from typing import Final

DISCLAIMER: Final = "For research use, not for diagnosis."
DISCLAIMER_SHORT: Final = "research use only"

# Headings, in the order of work.
INPUTS: Final = "1  Inputs"
ALIGN: Final = "2  Align"
FUSE: Final = "3  Fuse"
CHECK: Final = "4  Check"
EXPORT: Final = "5  Export"

# Why something cannot be done now.
BUSY: Final = "wait for the work that is running, or cancel it"
NO_INPUTS: Final = "open two scans first"
NOT_ALIGNED: Final = "align the two scans first"
NOT_FUSED: Final = "fuse the two scans first"
BAD_PAIR: Final = "see Inputs: {}"
NO_POINTS: Final = "click the same places in both, three or more"
TURN_VIEW: Final = "turn the view to {} slices to see the preview"
SEE_FUSE: Final = "mend it under Fuse, More"
NO_BLEND: Final = "press Classic overlay first"
NO_FOLDER: Final = "choose a folder to write to"
FOLDER_EXISTS: Final = "that folder is there already: choose another"
VIEW_IN_2D: Final = "turn the 3D view off (Ctrl+Y)"

# What the pair is said to be.
DROP_HERE: Final = "open two scans: drop their folders here"
ONE_LAYER: Final = "choose two different scans"
ONE_FRAME: Final = "One frame of reference: the headers place the scans on each other."
TWO_FRAMES: Final = "Two frames of reference: the scans will be registered."
TWO_FRAMES_AS_IS: Final = (
    "Two frames of reference, and method none: the scans stay where their headers have them, "
    "which do not relate them."
)
TWO_FRAMES_BY_HEADER: Final = (
    "Two frames of reference: the headers do not relate the scans. Take another method than header."
)
UNKNOWN_FRAMES: Final = "Frame of reference not known: the scans will be registered."
UNKNOWN_FRAMES_AS_IS: Final = (
    "Frame of reference not known: method {} takes the scans to share one."
)
TWO_PATIENTS: Final = "these are scans of two different patients"
SWAPPED: Final = "The anatomical scan is a {}: press Swap if the roles are the wrong way round."
SAME_KIND: Final = "Both scans are {}: the second is shown as the functional one."
ONE_SLICE: Final = "{} is a single slice, not a volume"
NO_SPACING: Final = "{} does not say its voxel size: give it below"
NO_UNITS: Final = "{} has no length units: its scale is taken as millimetres."
OBLIQUE: Final = "Tilted ({}): 2D views show each scan along its own slices."

# Stages of the work, by the names that the pipeline gives them.
STAGES: Final = {
    "starting": "starting",
    "unpacking": "unpacking",
    "reading headers": "looking through the files",
    "reading": "reading",
    "register": "aligning",
    "resample": "resampling",
    "fuse": "fusing",
    "contribution": "working out the contribution",
    "comparing": "making the view",
    "writing": "writing",
}
STOPPING: Final = "stopping"
TIME_LEFT: Final = ", {} left"
STATES: Final = {
    "idle": "",
    "running": "working",
    "done": "done",
    "failed": "failed",
    "cancelled": "stopped",
}

GPU: Final = "GPU: {}"
CPU: Final = "CPU: no GPU found"
CPU_TIME: Final = "CPU: no GPU found, fusion takes about {}"
LOOKING: Final = "looking for a GPU"
MEMORY: Final = "Needs about {need} of memory; {free} are free."
MEMORY_SHORT: Final = (
    "Needs about {need} of memory, and only {free} are free: close other programs."
)

TIPS: Final = {
    "anatomical": "The scan that gives the geometry and the anatomy: MR, or CT with a PET.",
    "functional": "The scan that gives the function (PET, SPECT), or the bone (CT with an MR).",
    "swap": "Exchange the two roles.",
    "open": "Open a DICOM folder, which may hold several series.",
    "open_file": "Open a NIfTI file, a DICOM file, or a zip of a DICOM folder.",
    "spacing": "Size of a voxel along the three axes of the layer, in millimetres.",
    "method": "auto: by the headers where both scans share a frame of reference, else rigid.",
    "force": "Go on although the alignment is judged failed or the patients differ.",
    "align": "Bring the functional scan onto the anatomical one, and judge the result.",
    "reset": "Take both scans as their headers place them.",
    "shift": "Move the functional scan, in millimetres of the patient.",
    "turn": "Turn the functional scan about the middle of the anatomical one, in degrees.",
    "landmarks": "Align by points that mark the same places in both scans, in the same order.",
    "new_points": (
        "Add a points layer to each scan. Select one, and its scan is shown: click the same places "
        "in both."
    ),
    "save_transform": "Save the alignment as an ITK transform (.tfm), to be used elsewhere.",
    "load_transform": "Take the alignment from an ITK transform (.tfm).",
    "plane": "The slices that the network sees; triplanar is the mean of three planes.",
    "colormap": "auto: hot iron for PET and SPECT, none for CT.",
    "keep": "What is kept where a saturated colour leaves no room for the fused brightness.",
    "local_contrast": (
        "How much of the local contrast of both scans is mixed in. 100 %: what one scan alone "
        "shows, such as a lesion, stands out as it does there."
    ),
    "window": "Lowest and highest value shown, such as 0, 12; empty: chosen by the modality.",
    "device": "Where the network runs.",
    "weights": "A weights file; empty: the weights that come with the package.",
    "preview": "Fuse the slice that is shown, and again when the view or a setting changes.",
    "fuse": "Fuse the whole volume.",
    "checkerboard": "Both scans in tiles: structures must go on from tile to tile.",
    "edges": "Edges of the anatomy over the functional scan: they must lie on each other.",
    "contribution": "Which scan each grey value comes from: blue anatomical, orange functional.",
    "blend": "The classic half-and-half overlay of the two scans, to compare the fusion with.",
    "swipe": "Pull the fusion over the anatomy, from the left.",
    "opacity": "Left: the fusion. Right: the classic overlay.",
    "export": "Write the fusion as a new folder.",
    "format": "auto: the format of the anatomical scan.",
    "folder": "The folder to make; it must not be there yet.",
    "browse": "Choose where the folder is made.",
    "deidentify": (
        "Leave out of all that is written who the patient is: names, numbers, dates. The patient "
        "and UIDs get others, always the same ones. The voxels stay: a head scan shows the face."
    ),
    "report": "Also write a preview picture and a report to read in a browser.",
    "screenshots": "Save the three planes as they are shown now, as one picture.",
    "cancel": "Stop the work that is running.",
    "details": "Copy the details of the last error, for a bug report.",
}

REPORT_IT: Final = "copy the details for a bug report"
LANDMARK_ERROR: Final = "registration error at the points {mean:.1f} mm, the worst {most:.1f} mm"
NOT_JUDGED: Final = "placed by hand, and not judged yet"
NO_VALUES: Final = "Values under the cursor are shown once the scans are aligned."
MOVE_CURSOR: Final = "Move the cursor over the picture to read both scans."
PLACE: Final = "{X} {x:.0f}, {Y} {y:.0f}, {Z} {z:.0f} mm"
NOT_SEEN: Final = "not in its field of view"
OPENED: Final = "scans opened: {}"
ORPHAN: Final = "A scan was removed meanwhile: what was made of it is not shown."
ALIGNED: Final = "aligned"
FUSED: Final = "fused"
NO_SPLINE: Final = "load a transform that was saved for these scans here, or by refinefuse register"
RIGID_PART_JUDGED: Final = "the verdict is that of the rigid part, before the deformation"
DEFORMED: Final = "a deformed scan cannot be moved by hand: align it rigidly instead"
SHIFT: Final = "shift"
TURN: Final = "turn about it"
NUDGES: Final = ("To the left", "To the back", "Upwards")

SHORTCUTS: Final = {
    "align": "Control-Alt-A",
    "fuse": "Control-Alt-F",
    "preview": "Control-Alt-P",
    "checkerboard": "Control-Alt-K",
    "export": "Control-Alt-E",
    "cancel": "Control-Alt-X",
}


def duration(seconds: float) -> str:
    """Say a time as a person would: ``8 s``, ``about`` left to the caller."""
    if seconds < 1:
        return "1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(nbytes: float) -> str:
    """Say a number of bytes: ``3.2 GB``."""
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e8 else f"{nbytes / 1e6:.0f} MB"
