"""DICOM objects that are written, a module each; `study` writes all of one fusion.

What they share stands in `derived` (patient, study, provenance) and `slices` (place, files).
"""
