"""Checks state machines: python tools/lint_asl.py FILE...

statelint, AWS's own linter, finds states that nothing leads to, unknown
targets of Next, and fields that JSONata states may not have. It knows no
TimeoutSeconds, Seconds or Timestamp with an expression, which AWS takes: it
sees a number or a date there.
The parser of LocalStack's interpreter (in moto) takes the definition as it is
and refuses unknown fields and types. Expressions are parsed by the same
JSONata engine that the local AWS runs.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import jsonata
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

SUBSTITUTION = re.compile(r"\$\{(\w+)\}")


def substituted(text):
    """The definition as DefinitionSubstitutions leaves it on AWS."""

    def value(match):
        name = match.group(1)
        if name == "Partition":
            return "aws"
        return f"arn:aws:lambda:us-east-1:000000000000:function:{name}"

    return SUBSTITUTION.sub(value, text)


def expressions(node, path="$"):
    if isinstance(node, str) and node.startswith("{%"):
        yield path, node
    elif isinstance(node, dict):
        for key, child in node.items():
            yield from expressions(child, f"{path}.{key}")
    elif isinstance(node, list):
        for i, child in enumerate(node):
            yield from expressions(child, f"{path}[{i}]")


STAND_INS = {"TimeoutSeconds": 60, "Seconds": 60, "Timestamp": "2030-01-01T00:00:00Z"}


def without_time_expressions(node):
    if isinstance(node, dict):
        return {
            key: STAND_INS[key]
            if key in STAND_INS and isinstance(child, str) and child.startswith("{%")
            else without_time_expressions(child)
            for key, child in node.items()
        }
    if isinstance(node, list):
        return [without_time_expressions(child) for child in node]
    return node


def unguarded_tasks(definition):
    """Every task needs Retry, Catch and a time-out."""
    for name, state in definition["States"].items():
        if state["Type"] == "Task":
            for field in ("Retry", "Catch", "TimeoutSeconds"):
                if field not in state:
                    yield f"state {name} has no {field}"


def problems(path):
    text = substituted(path.read_text(encoding="utf-8"))
    definition = json.loads(text)
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / path.name
        copy.write_text(json.dumps(without_time_expressions(definition)), encoding="utf-8")
        lint = subprocess.run(
            [sys.executable, pathlib.Path(sys.executable).with_name("statelint"), copy],
            capture_output=True,
            text=True,
            check=False,
        )
        if lint.returncode != 0 or lint.stdout.strip() or lint.stderr.strip():
            yield (lint.stdout + lint.stderr).strip() or f"statelint exited with {lint.returncode}"
    try:
        AmazonStateLanguageParser.parse(text)
    except Exception as error:  # its exceptions have no common base
        yield f"LocalStack's parser: {error}"
    for where, expression in expressions(definition):
        if not expression.endswith("%}"):
            yield f"{where}: the expression does not end with %}}"
            continue
        try:
            jsonata.Jsonata.jsonata(expression[2:-2].strip())
        except Exception as error:
            yield f"{where}: {error}"
    yield from unguarded_tasks(definition)


def main(paths):
    failed = not paths
    for path in map(pathlib.Path, paths):
        found = list(problems(path))
        for problem in found:
            print(f"{path}: {problem}", file=sys.stderr)
        print(f"{path}: {'ok' if not found else 'not ok'}")
        failed = failed or bool(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
