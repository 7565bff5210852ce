"""RefineFuse-Med in napari: read, register and fuse two scans of one patient.

Import costs nothing: napari loads the manifest, and each command loads what it needs.
"""
