# SPDX-License-Identifier: Apache-2.0
"""Answers held against what openapi.json says of them: each member described, of the type that is said, and null only
where it may be. Of JSON schema what openapi.c writes, and a word that is not known here is an error, not a pass."""

TYPES = {"string": str, "boolean": bool, "object": dict, "array": list, "integer": int, "number": (int, float)}
WORDS = {"type", "description", "x-unit", "nullable", "properties", "additionalProperties", "items", "allOf", "$ref"}


class Description:
    def __init__(self, openapi):
        self.paths = openapi["paths"]
        self.schemas = openapi["components"]["schemas"]

    def operation(self, method, path):
        return self.paths[path][method.lower()]

    def answer(self, method, path, status):
        """The schema of that answer, None: it has no content. KeyError: it is not described."""
        content = self.operation(method, path)["responses"][str(status)].get("content")
        return next(iter(content.values()))["schema"] if content else None

    def _resolved(self, schema):
        """The schema with what it refers to in its place."""
        for part in schema.get("allOf", []) + [schema]:
            if "$ref" in part:
                return {**self.schemas[part["$ref"].rpartition("/")[2]], **{k: v for k, v in schema.items() if k == "nullable"}}
        return schema

    def problems(self, value, schema, where="answer"):
        """What is wrong with the value, a line each."""
        unknown = set(schema) - WORDS
        if unknown:
            return [f"{where}: words of JSON schema that this test does not know: {sorted(unknown)}"]
        schema = self._resolved(schema)
        if value is None:
            return [] if schema.get("nullable") else [f"{where}: null"]
        kind = schema.get("type")
        if kind is None:
            return []
        if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            return [f"{where}: {value!r:.60} is no {kind}"]
        if kind == "array":
            return [problem for i, one in enumerate(value) for problem in self.problems(one, schema["items"], f"{where}[{i}]")]
        if kind == "object":
            return self._object(value, schema, where)
        return []

    def _object(self, value, schema, where):
        described, rest = schema.get("properties", {}), schema.get("additionalProperties")
        if not described and not rest:
            return [f"{where}: an object of which nothing is said: {sorted(value)[:8]}"]
        found = []
        for name, member in value.items():
            of = described.get(name, rest)
            found += self.problems(member, of, f"{where}.{name}") if of else [f"{where}.{name}: is not described"]
        return found

    def unseen(self, values, name):
        """Members of that schema that none of these objects has."""
        return set(self.schemas[name]["properties"]) - {member for value in values for member in value}
