"""Says whether an OpenAPI document is valid, its examples included: `check.py DOCUMENT`.

The validator looks at the document's form; every example must also satisfy the schema next to it.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)

flaws = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
         for error in OpenAPIV31SpecValidator(document).iter_errors()]

URI = "urn:document"
registry = Registry().with_resource(URI, Resource(document, DRAFT202012))


def absolute(schema):
    """References within the document, from wherever the schema is looked at."""
    if isinstance(schema, dict):
        return {key: URI + value if key == "$ref" else absolute(value) for key, value in schema.items()}
    return [absolute(item) for item in schema] if isinstance(schema, list) else schema


def examine(schema, examples, where):
    validator = Draft202012Validator(absolute(schema), registry=registry)
    for example in examples:
        flaws.extend(f"{where}: {error.message}" for error in validator.iter_errors(example))


def visit(node, where):
    """Every object with a schema and examples of it, and every schema with examples of its own."""
    if isinstance(node, list):
        for at, item in enumerate(node):
            visit(item, f"{where}/{at}")
        return
    if not isinstance(node, dict):
        return
    if isinstance(node.get("schema"), dict):
        named = node.get("examples", {})
        examples = [example["value"] for example in named.values()] if isinstance(named, dict) else []
        examine(node["schema"], examples + ([node["example"]] if "example" in node else []), where)
    if isinstance(node.get("examples"), list):
        examine(node, node["examples"], where)
    for key, value in node.items():
        if key not in ("example", "examples"):
            visit(value, f"{where}/{key}")


# Components are looked at where they are named, and once more by themselves.
visit(document, "#")
for flaw in flaws:
    print(flaw)
sys.exit(1 if flaws else 0)
