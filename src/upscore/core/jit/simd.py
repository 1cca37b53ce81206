"""SIMD vectors of eight float32 numbers for kernels: eight classes or channels at once.

numba vectorises a loop over eight numbers only if the compiler can prove that rows do not overlap,
which it cannot for a lattice. So these intrinsics use LLVM's <8 x float> directly, which LLVM maps
to every target (one AVX register, two of SSE or NEON). Sixteen took as long for 21 classes, and
longer for few.
"""

# ruff: noqa: ARG001  (numba calls all of these with the same arguments)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import models, register_model

from upscore.core.jit.compile import intrinsic

LANES = 8
ALIGNMENT = 64
"""Bytes: a cache line, which holds two rows."""

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INTEGERS = ir.VectorType(ir.IntType(32), LANES)


class _Lanes(types.Type):
    """The numba type of a vector."""


lanes_type: Any = _Lanes("Lanes")


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)  # type: ignore[no-untyped-call]


def empty_rows(*shape: int) -> npt.NDArray[np.float32]:
    """Uninitialised (*shape, 8) float32 whose rows never straddle a cache line."""
    count = int(np.prod(shape)) * LANES
    raw = np.empty(count * 4 + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * 4].view(np.float32).reshape(*shape, LANES)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, row: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    start = builder.mul(row, ir.Constant(row.type, LANES))
    return builder.bitcast(builder.gep(data, [start]), _VECTOR.as_pointer())


def _splat(builder: Any, scalar: Any) -> Any:
    vector = builder.insert_element(
        ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
    )
    mask = ir.Constant(_INTEGERS, [0] * LANES)
    return builder.shuffle_vector(vector, ir.Constant(_VECTOR, ir.Undefined), mask)


def _constant(value: float) -> Any:
    return ir.Constant(_VECTOR, [float(np.float32(value))] * LANES)


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    signature = ir.FunctionType(result, [a.type for a in arguments])
    function = builder.module.globals.get(name) or ir.Function(builder.module, signature, name)
    return builder.call(function, arguments)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return _call(builder, "llvm.fma.v8f32", _VECTOR, [a, b, c])


@intrinsic
def load(typing: Any, array: Any, row: Any) -> Any:
    """Load row ``row`` of an array (..., 8), the leading axes flattened."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row_value = context.cast(builder, arguments[1], signature.args[1], types.uintp)
        pointer = _pointer(context, builder, signature.args[0], arguments[0], row_value)
        return builder.load(pointer, align=4)

    return lanes_type(array, row), generate


@intrinsic
def store(typing: Any, array: Any, row: Any, value: Any) -> Any:
    """Store a vector in row ``row`` of an array (..., 8), the leading axes flattened."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row_value = context.cast(builder, arguments[1], signature.args[1], types.uintp)
        pointer = _pointer(context, builder, signature.args[0], arguments[0], row_value)
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, row, value), generate


@intrinsic
def broadcast(typing: Any, scalar: Any) -> Any:
    """A vector of eight times the same float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0])

    return lanes_type(types.float32), generate


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _fma(builder, *arguments)

    return lanes_type(lanes_type, lanes_type, lanes_type), generate


def _binary(name: str) -> Any:
    @intrinsic
    def operation(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if name in ("<", ">"):  # one instruction, where LLVM's NaN-safe maximum takes three
                return builder.select(builder.fcmp_ordered(name, *arguments), *arguments)
            return getattr(builder, name)(*arguments)

        return lanes_type(lanes_type, lanes_type), generate

    return operation


add = _binary("fadd")
subtract = _binary("fsub")
multiply = _binary("fmul")
maximum = _binary(">")
minimum = _binary("<")


@intrinsic
def absolute(typing: Any, a: Any) -> Any:
    """|a|, element by element."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.fabs.v8f32", _VECTOR, list(arguments))

    return lanes_type(lanes_type), generate


def _reduction(combine: Callable[[Any, Any, Any], Any]) -> Any:
    @intrinsic
    def operation(typing: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = arguments[0]
            undefined = ir.Constant(_VECTOR, ir.Undefined)
            step = LANES // 2
            while step:
                order = [(lane + step) % LANES for lane in range(LANES)]
                turned = builder.shuffle_vector(value, undefined, ir.Constant(_INTEGERS, order))
                value = combine(builder, value, turned)
                step //= 2
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        return types.float32(lanes_type), generate

    return operation


def _choose(sign: str) -> Callable[[Any, Any, Any], Any]:
    return lambda builder, a, b: builder.select(builder.fcmp_ordered(sign, a, b), a, b)


# pairwise halves, so that the order of a sum is always the same; float32
horizontal_sum = _reduction(lambda builder, a, b: builder.fadd(a, b))
horizontal_max = _reduction(_choose(">"))
horizontal_min = _reduction(_choose("<"))


_LOWEST = -87.0
"""exp of it is 1.6e-38, close above the smallest normal float32; below, :func:`exp` gives 0."""


@intrinsic
def exp(typing: Any, a: Any) -> Any:
    """e^a of numbers up to 88, within 2 units in the last place; 0 below -87.

    e^a = 2^n e^r with |r| <= ln(2) / 2, and e^r by its Taylor polynomial of degree 7 (remainder
    5e-9).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (x,) = arguments
        low = _constant(_LOWEST)
        keep = builder.fcmp_ordered(">=", x, low)
        x = builder.select(keep, x, low)
        scaled = builder.fmul(x, _constant(1.4426950408889634))
        n = _call(builder, "llvm.rint.v8f32", _VECTOR, [scaled])
        # ln 2 in two parts, of which the first has few digits, so that n times it is exact
        r = _fma(builder, n, _constant(-0.693359375), x)
        r = _fma(builder, n, _constant(2.12194440e-4), r)
        value = _constant(1 / 5040)
        for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1, 1):
            value = _fma(builder, value, r, _constant(coefficient))
        exponent = builder.fptosi(n, _INTEGERS)
        exponent = builder.add(exponent, ir.Constant(_INTEGERS, [127] * LANES))
        exponent = builder.shl(exponent, ir.Constant(_INTEGERS, [23] * LANES))
        value = builder.fmul(value, builder.bitcast(exponent, _VECTOR))
        return builder.select(keep, value, _constant(0.0))

    return lanes_type(lanes_type), generate


@intrinsic
def log(typing: Any, a: Any) -> Any:
    """Natural logarithms of normal positive numbers, within 3e-7 absolute or 2 units.

    a = 2^n m with m in [1/sqrt 2, sqrt 2); log m = 2 artanh(s) with s = (m - 1) / (m + 1), |s| up
    to 0.172, by its series to s^9 (remainder 1e-9).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _INTEGERS)
        # from the bits of 1/sqrt 2 on, so that the mantissa's range is around 1
        root = ir.Constant(_INTEGERS, [0x3F3504F3] * LANES)
        shifted = builder.sub(bits, root)
        n = builder.ashr(shifted, ir.Constant(_INTEGERS, [23] * LANES))
        mantissa = builder.sub(bits, builder.shl(n, ir.Constant(_INTEGERS, [23] * LANES)))
        m = builder.bitcast(mantissa, _VECTOR)
        one = _constant(1.0)
        s = builder.fdiv(builder.fsub(m, one), builder.fadd(m, one))
        square = builder.fmul(s, s)
        value = _constant(2 / 9)
        for coefficient in (2 / 7, 2 / 5, 2 / 3, 2):
            value = _fma(builder, value, square, _constant(coefficient))
        exponent = builder.sitofp(n, _VECTOR)
        value = builder.fmul(value, s)
        return _fma(builder, exponent, _constant(0.6931471805599453), value)

    return lanes_type(lanes_type), generate
