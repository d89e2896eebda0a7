"""The error of a broken law, and comparisons that raise it."""

from torch import Tensor


class LawError(AssertionError):
    """A law of a family that a member breaks, in one sentence with the values."""


def require(holds: bool, sentence: str) -> None:
    """Raise the sentence unless the law holds.

    Raises:
        LawError: if it does not.
    """
    if not holds:
        raise LawError(sentence)


def require_close(found: Tensor, expected: Tensor, tolerance: float, sentence: str) -> None:
    """Raise the sentence, with the largest difference, unless two tensors agree; nan equals nan, and inf equals inf.

    Raises:
        LawError: if they do not.
    """
    same = (found == expected) | (found.isnan() & expected.isnan())
    difference = (found.double() - expected.double()).abs().where(~same, 0.0)
    excess = difference - tolerance * (1 + expected.double().abs().nan_to_num(posinf=0.0))
    if bool((~(excess <= 0)).any()):
        row = int((~(excess <= 0)).flatten().nonzero()[0])
        values = found.flatten()[row].item(), expected.flatten()[row].item()
        raise LawError(f"{sentence}: {values[0]:.6g} instead of {values[1]:.6g}")
