"""Eigenvectors of symmetric matrices for which single precision fails."""

import pytest
import torch
from torch import Tensor

from dimple.linalg.symmetric import symmetric_eigen
from dimple.tensors import generator


def test_what_fails_in_single_precision_is_decomposed_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    decompose = torch.linalg.eigh

    def fail(matrix: Tensor) -> tuple[Tensor, Tensor]:
        if matrix.dtype == torch.float32:
            raise torch.linalg.LinAlgError("did not converge")  # type: ignore[attr-defined]
        return decompose(matrix)

    rows = torch.randn(3, 20, 6, generator=generator(0, "rows"))
    gram = rows.mT @ rows
    expected = decompose(gram.double())[0].float()
    monkeypatch.setattr(torch.linalg, "eigh", fail)
    values, vectors = symmetric_eigen(gram)
    assert values.dtype == vectors.dtype == torch.float32
    assert torch.allclose(values, expected)
    assert torch.allclose(gram @ vectors, vectors * values[:, None], atol=1e-4)
