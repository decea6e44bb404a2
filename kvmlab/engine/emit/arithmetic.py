"""Integers of 64 bits that behave as Python's do, as long as they fit; a checked program traps where they do not."""

from __future__ import annotations

import ast
from typing import Any

from llvmlite import ir

from kvmlab.engine.emit.kinds import FLOAT, HIGHEST, LOWEST, WORD


class Arithmetic:
    """Writes arithmetic with `builder`, and checks it if it is `checked`."""

    builder: ir.IRBuilder
    checked: bool

    def trap(self) -> None:
        """End the run here and now."""
        raise NotImplementedError

    def require(self, holds: Any) -> None:
        """Trap unless `holds`; only in a checked program."""
        if self.checked:
            with self.builder.if_then(self.builder.not_(holds), likely=False):
                self.trap()

    def require_no_overflow(self, name: str, x: Any, y: Any) -> None:
        """Trap if x + y, x - y or x * y needs more than 64 bits."""
        if not self.checked:
            return
        if name == "mul":
            self.require(self.product_fits(x, y))
            return
        # The sign of the result is wrong exactly if y moved it the wrong way.
        result = getattr(self.builder, name)(x, y)
        compare = self.builder.icmp_signed
        up = compare(">=" if name == "add" else "<=", y, WORD(0))
        self.require(self.builder.select(up, compare(">=", result, x), compare("<", result, x)))

    def product_fits(self, x: Any, y: Any) -> Any:
        """Return whether x * y fits 64 bits, by division: LLVM's own check calls a function that is not there."""

        def size(value: Any) -> Any:
            below = self.builder.icmp_signed("<", value, WORD(0))
            return self.builder.select(below, self.builder.neg(value), value)

        opposite = self.builder.icmp_signed("<", self.builder.xor(x, y), WORD(0))
        most = self.builder.select(opposite, WORD(LOWEST), WORD(HIGHEST))
        no_factor = self.builder.icmp_signed("==", y, WORD(0))
        limit = self.builder.udiv(most, self.builder.select(no_factor, WORD(1), size(y)))
        return self.builder.or_(no_factor, self.builder.icmp_unsigned("<=", size(x), limit))

    def to_the_left(self, x: Any, y: Any) -> Any:
        """Return ``x << y``."""
        result = self.builder.shl(x, y)
        if self.checked:
            fits = self.builder.icmp_unsigned("<", y, WORD(64))
            self.require(self.builder.and_(fits, self.builder.icmp_signed("==", self.builder.ashr(result, y), x)))
        return result

    def to_the_right(self, x: Any, y: Any) -> Any:
        """Return ``x >> y``: 64 places and more leave what 63 leave."""
        self.require(self.builder.icmp_signed(">=", y, WORD(0)))
        fits = self.builder.icmp_unsigned("<", y, WORD(64))
        return self.builder.ashr(x, self.builder.select(fits, y, WORD(63)))

    def division(self, op: type[ast.operator], x: Any, y: Any) -> Any:
        """Translate ``//`` and ``%``, which round down where LLVM's round towards zero."""
        compare = self.builder.icmp_signed
        self.require(compare("!=", y, WORD(0)))
        if self.checked:
            self.require(
                self.builder.not_(self.builder.and_(compare("==", x, WORD(LOWEST)), compare("==", y, WORD(-1))))
            )
        rest = self.builder.srem(x, y)
        opposite = compare("<", self.builder.xor(rest, y), WORD(0))
        off = self.builder.and_(compare("!=", rest, WORD(0)), opposite)
        if op is ast.Mod:
            return self.builder.add(rest, self.builder.select(off, y, WORD(0)))
        return self.builder.sub(self.builder.sdiv(x, y), self.builder.zext(off, WORD))

    def negative(self, x: Any) -> Any:
        """Return -x."""
        self.require(self.builder.icmp_signed("!=", x, WORD(LOWEST)))
        return self.builder.neg(x)

    def whole(self, x: Any) -> Any:
        """Return a float without what stands behind its point."""
        bound = FLOAT.llvm(float(1 << 63))
        at_least = self.builder.fcmp_ordered(">=", x, FLOAT.llvm(-float(1 << 63)))
        self.require(self.builder.and_(at_least, self.builder.fcmp_ordered("<", x, bound)))
        return self.builder.fptosi(x, WORD)
