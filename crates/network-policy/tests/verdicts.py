"""Verdicts on contracts by an SMT solver, from layers of rules as formulas over the fields of one packet.

Reads {"cases": [{"layers": [[RULE]], "contract": RULE, "exempt": [RULE]}]} from standard input; a RULE is a product of
sets, each a list of [first, last] that the packet certainly is in ("must") or may be in ("may"), with its "allow".
Writes {"verdicts": ["proved" | "refuted" | "depends" | "unknown"], "seconds": [number]}: building and solving, case by
case. With "limit_seconds" a case that takes longer is given up, and unknown.
"""

import json
import sys
import time

from z3 import And, BitVec, BitVecVal, Bool, BoolVal, Not, Or, Solver, UGE, ULE, sat, unknown

FIELDS = {
    "protocol": BitVec("protocol", 8),
    "source": BitVec("source", 32),
    "source_port": BitVec("source_port", 16),
    "destination": BitVec("destination", 32),
    "port": BitVec("port", 16),
}


def within(name, spans):
    """The packet's field is in one of the spans."""
    field = FIELDS[name]
    most = 2 ** field.size() - 1
    if any(first == 0 and last == most for first, last in spans):
        return BoolVal(True)
    bit = lambda number: BitVecVal(number, field.size())
    return Or([field == bit(a) if a == b else And(UGE(field, bit(a)), ULE(field, bit(b))) for a, b in spans])


class Sets:
    """Sets that many rules share get one name, and are described once."""

    def __init__(self, solver):
        self.solver = solver
        self.known = {}

    def within(self, name, spans):
        key = (name, json.dumps(spans))
        if key not in self.known:
            formula = within(name, spans)
            if len(spans) > 1:
                named = Bool(f"set-{len(self.known)}")
                self.solver.add(named == formula)
                formula = named
            self.known[key] = formula
        return self.known[key]


def product(sets, fields):
    return And([sets.within(name, spans) for name, spans in fields.items()])


def outcomes(sets, rules):
    """Whether the first rule that matches can allow the packet, and whether it can deny it."""
    allow, deny = BoolVal(False), BoolVal(True)
    for rule in reversed(rules):
        may, must = product(sets, rule["may"]), product(sets, rule["must"])
        if rule["allow"]:
            allow, deny = Or(may, allow), And(Not(must), deny)
        else:
            allow, deny = And(Not(must), allow), Or(may, deny)
    return allow, deny


def verdict(case, limit):
    solver = Solver()
    if limit:
        solver.set("timeout", int(limit * 1000))
    sets = Sets(solver)
    solver.add(product(sets, case["contract"]["must"]))
    for rule in case["exempt"]:
        solver.add(Not(product(sets, rule["must"])))
    layers = [outcomes(sets, rules) for rules in case["layers"]]
    allow, deny = And([layer[0] for layer in layers]), Or([layer[1] for layer in layers])
    kept, broken = (allow, deny) if case["contract"]["allow"] else (deny, allow)
    certain = solver.check(Not(kept))
    if certain == sat:
        return "refuted"
    perhaps = unknown if certain == unknown else solver.check(broken)
    if perhaps == unknown:
        return "unknown"
    return "depends" if perhaps == sat else "proved"


def main():
    verdicts, seconds = [], []
    asked = json.load(sys.stdin)
    for case in asked["cases"]:
        began = time.perf_counter()
        verdicts.append(verdict(case, asked.get("limit_seconds")))
        seconds.append(time.perf_counter() - began)
    json.dump({"verdicts": verdicts, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
