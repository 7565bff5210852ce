"""Sending DICOM files to an archive: C-STORE (`dimse`) and STOW-RS (`dicomweb`)."""
