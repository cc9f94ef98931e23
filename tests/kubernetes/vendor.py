#!/usr/bin/env python3
"""Writes tests/kubernetes/schemas.json: the published schemas of the kinds that `config kubernetes` writes, unknown fields being errors.

vendor.py FOLDER STANDARD EXPERIMENTAL
  FOLDER: a version's folder of the wheel kubernetes-validate (Kubernetes' OpenAPI, Apache-2.0), such as v1.36.0-local-strict
  STANDARD, EXPERIMENTAL: the CustomResourceDefinition of HTTPRoute in both channels of the Gateway API (Apache-2.0)
"""
import json
import re
import sys

import yaml

KINDS = {
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Job": "io.k8s.api.batch.v1.Job",
    "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "Secret": "io.k8s.api.core.v1.Secret",
    "Namespace": "io.k8s.api.core.v1.Namespace",
    "Service": "io.k8s.api.core.v1.Service",
}
REFERENCE = re.compile(r"#/(?:\$defs|definitions)/(.+)")


def plain(schema):
    """Without what validates nothing."""
    if isinstance(schema, list):
        return [plain(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if key in ("description", "$schema", "$id", "default", "format") and not isinstance(value, dict):
            continue
        if key == "$ref":
            value = "#/$defs/" + REFERENCE.search(value).group(1)
        found[key] = plain(value) if not key.startswith("x-kubernetes-") else None
    return {key: value for key, value in found.items() if value is not None}


def closed(schema):
    """A custom resource's schema: what it does not name is not there."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and isinstance(schema["properties"], dict):
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        schema = [closed(it) for it in schema]
    return schema


def references(schema):
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield REFERENCE.search(schema["$ref"]).group(1)
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def route(path, version):
    (crd,) = [it for it in yaml.safe_load_all(open(path)) if it and it["kind"] == "CustomResourceDefinition"]
    (schema,) = [it["schema"]["openAPIV3Schema"] for it in crd["spec"]["versions"] if it["name"] == version]
    schema = closed(plain(schema))
    # Their shape is that of all objects.
    schema["properties"]["metadata"] = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    return schema


def main(folder, standard, experimental):
    definitions = json.load(open(f"{folder}/_definitions.json"))
    definitions = definitions.get("$defs") or definitions["definitions"]
    wanted, found = list(KINDS.values()), {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = plain(definitions[name])
            wanted.extend(references(found[name]))
    kinds = {kind: {"$ref": f"#/$defs/{name}"} for kind, name in KINDS.items()}
    found["HTTPRoute"] = route(standard, "v1")
    found["HTTPRoute-experimental"] = route(experimental, "v1")
    kinds["HTTPRoute"] = {"$ref": "#/$defs/HTTPRoute"}
    kinds["HTTPRoute-experimental"] = {"$ref": "#/$defs/HTTPRoute-experimental"}
    notice = "Of Kubernetes and its Gateway API, Apache License 2.0; shortened by tests/kubernetes/vendor.py"
    json.dump({"notice": notice, "kinds": kinds, "$defs": dict(sorted(found.items()))}, sys.stdout, separators=(",", ":"))
    print()


main(*sys.argv[1:])
