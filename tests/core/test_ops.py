"""Each array library does what NumPy does under each name of the table of operations."""

from dataclasses import fields

import numpy as np
import pytest

from lrsched._spaces.ops import COMMON, Ops, ops_named, ops_of

X = np.array([-2.5, -0.0, 0.25, 1.0, 3.5], np.float32)
NAN = np.array([np.nan, np.inf, -1.0], np.float32)
TABLE = np.array([0.0, 1.0, 1.0, 3.0], np.float32)

# For each name, a call on operations and a function that makes arrays of what NumPy holds.
CALLS = {
    **{name: lambda xp, of, name=name: getattr(xp, name)(of(abs(X) + 0.5)) for name in COMMON[:-2]},
    "abs of negative": lambda xp, of: xp.abs(of(X)),
    "sign of nan": lambda xp, of: xp.sign(of(NAN)),
    "sign of negative": lambda xp, of: xp.sign(of(X)),
    "maximum": lambda xp, of: xp.maximum(of(X), of(X[::-1].copy())),
    "maximum of a number": lambda xp, of: xp.maximum(of(X), 0.5),
    "minimum": lambda xp, of: xp.minimum(of(X), of(X[::-1].copy())),
    "minimum of a number": lambda xp, of: xp.minimum(of(X), 0.5),
    "isfinite": lambda xp, of: xp.isfinite(of(NAN)),
    "where": lambda xp, of: xp.where(of(X) > 0.0, of(X), of(-X)),
    "subtract": lambda xp, of: xp.subtract(of(X), of(X * X)),
    "total": lambda xp, of: xp.total(of(X)),
    "row_sum": lambda xp, of: xp.row_sum(of(np.outer(X, X))),
    "mean": lambda xp, of: xp.mean(of(np.outer(X, X)), 0),
    "segment_sum": lambda xp, of: xp.segment_sum(of(X), of(np.array([0, 0, 1, 2, 2])), of(np.array([2, 1, 2]))),
    "transpose": lambda xp, of: xp.transpose(of(np.arange(6.0).reshape(2, 3))),
    "reshape": lambda xp, of: xp.reshape(of(np.arange(6.0).reshape(2, 3)), (3, -1)),
    "concatenate": lambda xp, of: xp.concatenate([of(X), of(-X)]),
    "take": lambda xp, of: xp.take(of(X), of(np.array([3, 0, 0]))),
    "take one": lambda xp, of: xp.take(of(X), of(np.array(3))),
    "search": lambda xp, of: xp.search(of(TABLE), of(X)),
    "search in rows": lambda xp, of: xp.search(of(TABLE), of(np.outer(X, X))),
    "cast": lambda xp, of: xp.cast(of(X), xp.float64),
    "index": lambda xp, of: xp.cast(xp.floor(of(X)), xp.index),
    "constant number": lambda xp, of: xp.constant(0.1, xp.float32, of(X)),
    "constant table": lambda xp, of: xp.constant(TABLE, xp.float32, of(X)),
    "constant as it is": lambda xp, of: xp.constant(np.arange(3), None, of(X)),
    "full_like": lambda xp, of: xp.full_like(of(X), 0.1, xp.float32),
    "full": lambda xp, of: xp.full(of(X), 0.1, (2, 3), xp.float32),
}


def test_every_operation_is_compared():
    called = {call.partition(" ")[0] for call in CALLS}
    rest = {"name", "module", "isinteger", "bfloat16", "float32", "float64"}
    assert {field.name for field in fields(Ops)} - called == rest


def made(name):
    """Return the operations of a library, and what makes an array of it."""
    if name == "numpy":
        return ops_named("numpy"), lambda x: x
    library = pytest.importorskip(name)
    make = {"torch": "tensor", "jax": "numpy", "tensorflow": "constant"}[name]
    function = getattr(library, make)
    return ops_named(name), function.asarray if name == "jax" else function


@pytest.mark.parametrize("library", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("call", CALLS)
def test_every_library_does_what_numpy_does(library, call):
    xp, of = made(library)
    found, expected = CALLS[call](xp, of), CALLS[call](*made("numpy"))
    assert tuple(found.shape) == np.shape(expected)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-6)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "tensorflow"])
def test_integers_are_known_by_their_dtype(library):
    xp, of = made(library)
    kinds = [np.int64, np.int32, np.uint8, np.float32, np.float16]
    assert [xp.isinteger(of(np.zeros(2, kind))) for kind in kinds] == [True, True, True, False, False]


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "tensorflow"])
def test_the_table_of_a_library_is_that_of_its_arrays(library):
    xp, of = made(library)
    assert ops_of(of(X)) is xp
    assert xp.name == library
