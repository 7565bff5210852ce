"""Co-registration: a transform, a verdict on it, and the moving scan on the fixed grid."""

from refinefuse_med.registration.deformation import Deformation
from refinefuse_med.registration.landmarks import LandmarkFit, fit_landmarks
from refinefuse_med.registration.register import RegistrationResult, assess, register
from refinefuse_med.registration.resample import composite, field_of_view, resample_to

__all__ = [
    "Deformation",
    "LandmarkFit",
    "RegistrationResult",
    "assess",
    "composite",
    "field_of_view",
    "fit_landmarks",
    "register",
    "resample_to",
]
