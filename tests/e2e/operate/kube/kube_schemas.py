"""kube_schemas.py - JSON schemas for kubeconform out of Kubernetes' own swagger.json and of resource definitions.

Strict: a field that Kubernetes does not know is an error. One file for each kind, named as kubeconform's
template '{{.ResourceKind}}{{.KindSuffix}}.json' wants it. SPDX-License-Identifier: Apache-2.0
"""
import glob
import json
import os

import yaml

DRAFT = "http://json-schema.org/draft-07/schema#"
NUMBER_OR_TEXT = {"oneOf": [{"type": "string"}, {"type": "number"}]}
REPLACED = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": NUMBER_OR_TEXT,
}


def strict(node):
    """A copy in which objects with named fields have no others."""
    if isinstance(node, list):
        return [strict(part) for part in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-kubernetes-int-or-string"):
        return dict(NUMBER_OR_TEXT)
    made = {
        key: strict(value) for key, value in node.items()
        if not key.startswith("x-kubernetes") and key not in ("description", "default", "format", "nullable")
    }
    named = isinstance(node.get("properties"), dict)
    if named:
        made["properties"] = {name: strict(value) for name, value in node["properties"].items()}
    if named and "additionalProperties" not in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made


def names_in(node, found):
    """Names of definitions that a schema points to."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            found.add(node["$ref"].rsplit("/", 1)[1])
        for value in node.values():
            names_in(value, found)
    elif isinstance(node, list):
        for value in node:
            names_in(value, found)


def closed(definitions, name):
    """`name` and everything that it needs."""
    wanted, all_of = [name], {}
    while wanted:
        at = wanted.pop()
        if at not in all_of:
            all_of[at] = definitions[at]
            more = set()
            names_in(definitions[at], more)
            wanted.extend(more)
    return all_of


def file_name(group, version, kind):
    short = group.split(".")[0]
    return "%s-%s%s.json" % (kind.lower(), short + "-" if short else "", version)


def save(folder, name, schema):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump({"$schema": DRAFT, **schema}, file)


def of_kubernetes(swagger, folder, kinds):
    with open(swagger, encoding="utf-8") as file:
        raw = json.load(file)["definitions"]
    definitions = {name: REPLACED.get(name) or strict(value) for name, value in raw.items()}
    made = set()
    for name, value in raw.items():
        for gvk in value.get("x-kubernetes-group-version-kind", []):
            if len(value["x-kubernetes-group-version-kind"]) == 1 and gvk["kind"] in kinds:
                save(folder, file_name(gvk["group"], gvk["version"], gvk["kind"]),
                     {"$ref": "#/definitions/" + name, "definitions": closed(definitions, name)})
                made.add(gvk["kind"])
    missing = set(kinds) - made
    assert not missing, "not in swagger.json: %s" % sorted(missing)


def of_definitions(pattern, folder):
    """Of CustomResourceDefinitions in YAML files."""
    for path in glob.glob(pattern):
        with open(path, encoding="utf-8") as file:
            crd = yaml.safe_load(file)["spec"]
        for version in crd["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            save(folder, file_name(crd["group"], version["name"], crd["names"]["kind"]), schema)
