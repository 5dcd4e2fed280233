#!/usr/bin/env python3
"""sbom.py - what is in the image, as SPDX 2.3 in JSON: omendb, the distribution's packages, every file.

document() is called by rootfs.py in the build stage, where dpkg knows the packages. `sbom.py verify FILE ROOT`
holds a file system against its SBOM: every file there, no other, the same bytes.
SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import time
import uuid
from urllib.parse import quote

SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/omendb/omendb")
OWN = ("omend-image", "omendb")  # everything else is a package of the distribution
FIELDS = ("Package", "Version", "Architecture", "Maintainer", "source:Package", "source:Version", "Homepage",
          "binary:Summary")


def digest(path, kind):
    with open(path, "rb") as file:
        return hashlib.new(kind, file.read()).hexdigest()


def element(kind, name):
    """An identifier: letters, digits, dots and dashes only."""
    return "SPDXRef-%s-%s" % (kind, re.sub(r"[^A-Za-z0-9.-]", lambda m: "-%02x" % ord(m.group(0)), name))


def describe_file(root, name):
    full = os.path.join(root, name)
    with open(full, "rb") as file:
        binary = file.read(4) == b"\x7fELF"
    return {
        "SPDXID": element("File", name),
        "fileName": "./" + name,
        "fileTypes": ["BINARY" if binary else "TEXT"],
        "checksums": [{"algorithm": "SHA1", "checksumValue": digest(full, "sha1")},
                      {"algorithm": "SHA256", "checksumValue": digest(full, "sha256")}],
        "licenseConcluded": "NOASSERTION",
        "licenseInfoInFiles": ["NOASSERTION"],
        "copyrightText": "NOASSERTION",
    }


def verification_code(files):
    """SPDX 2.3, 7.9: one hash over the sorted hashes of a package's files."""
    sums = sorted(f["checksums"][0]["checksumValue"] for f in files)
    return hashlib.sha1("".join(sums).encode()).hexdigest()


def licence_names(root, package):
    """The short names of a machine-readable copyright file, as they stand there."""
    path = os.path.join(root, "usr/share/doc", package, "copyright")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    if "copyright-format" not in text:
        return []
    return sorted({name.strip() for name in re.findall(r"^License:[ \t]*(\S.*)$", text, re.M)})


def own_package(name, version):
    return {
        "SPDXID": element("Package", name),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: The OmenDB authors",
        "downloadLocation": "NOASSERTION",
        "licenseConcluded": "Apache-2.0",
        "licenseDeclared": "Apache-2.0",
        "copyrightText": "Copyright 2026 The OmenDB authors",
        "primaryPackagePurpose": "CONTAINER" if name == "omend-image" else "APPLICATION",
    }


def distribution():
    with open("/etc/os-release", encoding="utf-8") as file:
        release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', file.read(), re.M))
    return release["ID"], release.get("VERSION_ID", "")


def debian_package(root, package, grpc):
    form = "\\n".join("${%s}" % field for field in FIELDS)
    got = subprocess.run(["dpkg-query", "-W", "-f", form, package], check=True, stdout=subprocess.PIPE,
                         text=True).stdout.split("\n")
    fields = dict(zip(FIELDS, got))
    system, release = distribution()
    locator = "pkg:deb/%s/%s@%s?arch=%s&distro=%s-%s" % (
        system, fields["Package"], quote(fields["Version"], safe="~"), fields["Architecture"], system, release)
    maintainer = re.match(r"\s*(.*?)\s*<([^>]*)>", fields["Maintainer"])
    described = {
        "SPDXID": element("Package", package),
        "name": fields["Package"],
        "versionInfo": fields["Version"],
        "supplier": "Person: %s (%s)" % maintainer.groups() if maintainer else "NOASSERTION",
        "downloadLocation": "NOASSERTION",
        "sourceInfo": "built from %s %s" % (fields["source:Package"], fields["source:Version"]),
        "summary": fields["binary:Summary"],
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "LIBRARY",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": locator}],
    }
    names = licence_names(root, package)
    described["licenseComments"] = "see ./usr/share/doc/%s/copyright%s" % (
        package, ": " + ", ".join(names) if names else "")
    if fields["Homepage"]:
        described["homepage"] = fields["Homepage"]
    if fields["source:Package"] == "grpc" and grpc != "distribution":
        described["comment"] = "rebuilt from this source package: " + grpc
    return described


def add_files(package, files):
    package["filesAnalyzed"] = bool(files)
    if files:
        package["packageVerificationCode"] = {"packageVerificationCodeValue": verification_code(files)}
        package["licenseInfoFromFiles"] = ["NOASSERTION"]


def relate(one, kind, other):
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def document(root, owners, version, epoch, grpc):
    """The text of the SBOM. owners: {path in the image: name of the package}."""
    files = {name: describe_file(root, name) for name in sorted(owners)}
    packages, relations = [], [relate("SPDXRef-DOCUMENT", "DESCRIBES", element("Package", "omend-image"))]
    for package in sorted(set(owners.values()) | set(OWN)):
        described = (own_package(package, version) if package in OWN
                     else debian_package(root, package, grpc))
        mine = [files[name] for name in sorted(owners) if owners[name] == package]
        add_files(described, mine)
        packages.append(described)
        relations += [relate(described["SPDXID"], "CONTAINS", f["SPDXID"]) for f in mine]
        if package != "omend-image":
            relations.append(relate(element("Package", "omend-image"), "CONTAINS", described["SPDXID"]))
        if package not in OWN + ("base-files",):
            relations.append(relate(element("Package", "omendb"), "DEPENDS_ON", described["SPDXID"]))
    body = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "omend-" + version,
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "creators": ["Organization: The OmenDB authors", "Tool: omendb-sbom.py"],
        },
        "packages": packages,
        "files": list(files.values()),
        "relationships": relations,
    }
    # The name of the document is made of what it says: the same image has the same one.
    content = json.dumps(body, sort_keys=True)
    body["documentNamespace"] = "https://github.com/omendb/omendb/spdx/%s" % uuid.uuid5(SPACE, content)
    return json.dumps(body, indent=1, sort_keys=True) + "\n"


def verify(sbom, root):
    """What is wrong, a line each."""
    with open(sbom, encoding="utf-8") as file:
        body = json.load(file)
    said = {f["fileName"][2:]: {c["algorithm"]: c["checksumValue"] for c in f["checksums"]}
            for f in body["files"]}
    there = {os.path.relpath(os.path.join(folder, name), root)
             for folder, _, names in os.walk(root) for name in names
             if not os.path.islink(os.path.join(folder, name))}
    itself = {name for name in there if name.endswith(".spdx.json")}
    wrong = ["not in the SBOM: " + name for name in sorted(there - set(said) - itself)]
    wrong += ["not in the image: " + name for name in sorted(set(said) - there)]
    for name in sorted(set(said) & there):
        if digest(os.path.join(root, name), "sha256") != said[name]["SHA256"]:
            wrong.append("other bytes: " + name)
    known = {e["SPDXID"] for e in body["packages"] + body["files"]} | {"SPDXRef-DOCUMENT"}
    if len(known) != len(body["packages"]) + len(body["files"]) + 1:
        wrong.append("two elements have one identifier")
    for relation in body["relationships"]:
        for end in ("spdxElementId", "relatedSpdxElement"):
            if relation[end] not in known:
                wrong.append("a relationship with nothing: " + relation[end])
    return wrong


def main():
    if len(sys.argv) != 4 or sys.argv[1] != "verify":
        sys.exit("usage: sbom.py verify FILE ROOT")
    wrong = verify(sys.argv[2], sys.argv[3])
    print("\n".join(wrong) if wrong else "sbom.py: %s says what is in %s" % (sys.argv[2], sys.argv[3]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
