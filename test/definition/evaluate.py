"""Evaluates JSONata expressions a second time, with jsonata-python.

Reads a JSON object a line: the expression, the variables that it names, and the
result of the first evaluation, if it had one. Writes where the two differ, and
fails then.
"""

import json
import sys

from jsonata.jsonata import Jsonata
from jsonata.utils import Utils


def bound(value):
    """A JSON value as the library wants it: None is no value, not null."""
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, list):
        return [bound(item) for item in value]
    if isinstance(value, dict):
        return {key: bound(item) for key, item in value.items()}
    return value


def plain(value):
    """A result as JSON, so that numbers of different types compare."""
    if value is Utils.NULL_VALUE:
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def text_of(value):
    """Text that holds JSON compares by what it means: $string keeps the order of
    keys, and it differs."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            pass
    return value


def evaluate(compiled, variables):
    """The outcome: "value", "nothing" or "failed", and the value."""
    try:
        result = compiled.evaluate(None, {name: bound(value) for name, value in variables.items()})
    except Exception as problem:  # the library raises errors of several types
        return "failed", str(problem)
    if result is None:
        return "nothing", None
    return "value", plain(result)


def main():
    compiled, count, differences = {}, 0, 0
    for line in sys.stdin:
        one = json.loads(line)
        expression = one["expression"]
        if expression not in compiled:
            compiled[expression] = Jsonata(expression)
            compiled[expression].set_output_convert_nulls(False)
            # Step Functions' own function.
            compiled[expression].register_lambda("parse", lambda text: bound(json.loads(text)))
        got = evaluate(compiled[expression], one["variables"])
        want = "failed" if one["failed"] else "value" if "result" in one else "nothing", plain(one.get("result"))
        count += 1
        if got[0] != want[0] or got[0] == "value" and text_of(got[1]) != text_of(want[1]):
            differences += 1
            print(f"{expression}\n  with {json.dumps(one['variables'])}\n  is {got}\n  was {want}")
    if count == 0:
        sys.exit("there is nothing to evaluate")
    if differences:
        sys.exit(f"{differences} of {count} evaluations differ")
    print(f"{count} evaluations of {len(compiled)} expressions are the same")


main()
