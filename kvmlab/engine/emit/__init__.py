"""From the rules' Python to LLVM's language: the little Python that the rules are written in, and no more of it.

A value is an int of 64 bits, a bool, a float, a machine, one of its tables, or a record in one. What a parameter and a
result are, the rule's annotations say; a local variable is what is first assigned to it, and stays so. A machine is the
address of its words (`kvmlab.engine.layout`).

What would not mean the same as in Python is refused (`Untranslatable`: the rule, the line, the reason). What cannot be
known before a run is that no index leaves its table, that no int needs more than 64 bits, that what is stored fits its
field, and that no divisor is 0: a *checked* program traps where that is not so, and the tests run one.
"""

from kvmlab.engine.emit.kinds import Untranslatable
from kvmlab.engine.emit.program import Program

__all__ = ["Program", "Untranslatable"]
