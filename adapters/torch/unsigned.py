"""Unsigned integers of more than 8 bits, for which torch has types but hardly any kernels."""

from __future__ import annotations

import functools

import torch

from ..kit.interface import Unsupported

UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
_SIGN = -(2**63)


def widened(keeps):
    """Make an operator function work on them by way of int64.

    keeps: what the function leaves right where int64's sign bit is part of a uint64: "sums" (exact modulo 2**64),
    "order" (it compares only), or "nothing": then uint64 is refused.
    """

    def decorate(function):
        @functools.wraps(function)
        def call(*tensors, **attributes):
            dtype = tensors[0].dtype
            if dtype not in UNSIGNED:
                return function(*tensors, **attributes)
            if dtype == torch.uint64 and keeps == "nothing":
                raise Unsupported("torch cannot do it with uint64")
            # workaround: torch has no kernels for unsigned integers of more than 8 bits; int64 carries them.
            result = function(*[_signed(tensor, keeps == "order") for tensor in tensors], **attributes)
            return result if result.dtype == torch.bool else _unsigned(result, dtype, keeps == "order")

        return call

    return decorate


def _signed(x, ordered):
    if x.dtype != torch.uint64:
        return x.to(torch.int64) if x.dtype in UNSIGNED else x
    return x.view(torch.int64) ^ _SIGN if ordered else x.view(torch.int64)


def _unsigned(x, dtype, ordered):
    if dtype != torch.uint64:
        return x.to(dtype)
    return (x ^ _SIGN if ordered else x).view(dtype)
