"""Co-registration: a transform, a verdict on it, and the moving scan on the fixed grid."""

from refinefuse_med.registration.register import RegistrationResult, assess, register
from refinefuse_med.registration.resample import field_of_view, resample_to

__all__ = ["RegistrationResult", "assess", "field_of_view", "register", "resample_to"]
