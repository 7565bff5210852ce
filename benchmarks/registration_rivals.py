"""Rigid registration by other libraries, from their own textbook settings and from tuned ones.

Every rival takes the pair and gives the matrix that maps LPS points of fixed to moving.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import packages_distributions
from tempfile import TemporaryDirectory

import numpy as np
import SimpleITK as sitk
from monai.data import MetaTensor
from numpy.typing import NDArray

from refinefuse_med.volume import affine_lps, to_sitk

Matrix = NDArray[np.float64]
Rival = Callable[[MetaTensor, MetaTensor], Matrix]


def simpleitk_textbook(fixed: MetaTensor, moving: MetaTensor) -> Matrix:
    """SimpleITK's notebook recipe: Mattes, geometry start, gradient descent, three levels."""
    return _simpleitk(fixed, moving, sampling=0.01, tuned=False)


def simpleitk_tuned(fixed: MetaTensor, moving: MetaTensor) -> Matrix:
    """The same with moments start, more samples, regular steps, and four levels."""
    return _simpleitk(fixed, moving, sampling=0.1, tuned=True)


def _simpleitk(fixed: MetaTensor, moving: MetaTensor, *, sampling: float, tuned: bool) -> Matrix:
    images = [sitk.Cast(to_sitk(v), sitk.sitkFloat32) for v in (fixed, moving)]
    start = sitk.CenteredTransformInitializer(
        *images,
        sitk.Euler3DTransform(),
        sitk.CenteredTransformInitializerFilter.MOMENTS
        if tuned
        else sitk.CenteredTransformInitializerFilter.GEOMETRY,
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(sampling, 1)
    method.SetInterpolator(sitk.sitkLinear)
    if tuned:
        method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 200)
        method.SetShrinkFactorsPerLevel([8, 4, 2, 1])
        method.SetSmoothingSigmasPerLevel([4, 2, 1, 0])
    else:
        method.SetOptimizerAsGradientDescent(1.0, 100, 1e-6, 10)
        method.SetShrinkFactorsPerLevel([4, 2, 1])
        method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(*images)
    return _matrix_of(start)


def elastix(fixed: MetaTensor, moving: MetaTensor) -> Matrix:
    """Elastix's default rigid parameter map, started from the centres of gravity."""
    import itk

    parameters = itk.ParameterObject.New()
    rigid = parameters.GetDefaultParameterMap("rigid")
    rigid["AutomaticTransformInitialization"] = ["true"]
    rigid["AutomaticTransformInitializationMethod"] = ["CenterOfGravity"]
    parameters.AddParameterMap(rigid)
    images = [_to_itk(v) for v in (fixed, moving)]
    _, result = itk.elastix_registration_method(
        *images, parameter_object=parameters, log_to_console=False
    )
    found = result.GetParameterMap(0)
    values = [float(v) for v in found["TransformParameters"]]
    transform = sitk.Euler3DTransform()
    transform.SetCenter([float(v) for v in found["CenterOfRotationPoint"]])
    transform.SetParameters(values)
    return _matrix_of(transform)


def _to_itk(volume: MetaTensor) -> object:
    import itk

    image = itk.GetImageFromArray(np.ascontiguousarray(volume[0].numpy().T, dtype=np.float32))
    affine = affine_lps(volume)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(affine[:3, :3] / spacing))
    return image


def ants(fixed: MetaTensor, moving: MetaTensor) -> Matrix:
    """ANTs' `Rigid`."""
    import ants as antspy

    images = []
    for volume in (fixed, moving):
        affine = affine_lps(volume)
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        images.append(
            antspy.from_numpy(
                volume[0].numpy().astype(np.float32),
                origin=affine[:3, 3].tolist(),
                spacing=spacing.tolist(),
                direction=affine[:3, :3] / spacing,
            )
        )
    with TemporaryDirectory() as folder:
        found = antspy.registration(*images, type_of_transform="Rigid", outprefix=f"{folder}/")
        transform = sitk.ReadTransform(found["fwdtransforms"][0])
    return _matrix_of(sitk.AffineTransform(transform))


def _matrix_of(transform: sitk.Transform) -> Matrix:
    shift = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(transform.TransformPoint(tuple(axis))) - shift for axis in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.column_stack(columns), shift
    return matrix


def rivals() -> dict[str, Rival]:
    """Those that are installed, by name."""
    found: dict[str, Rival] = {"textbook": simpleitk_textbook, "tuned": simpleitk_tuned}
    installed = {name for names in packages_distributions().values() for name in names}
    if "itk-elastix" in installed:
        found["elastix"] = elastix
    if "antspyx" in installed:
        found["ants"] = ants
    return found
