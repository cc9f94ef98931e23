#!/usr/bin/env bash
# For any CI system: installs a release into a folder of its own and checks the balancer. The exit status is the verdict.
set -euo pipefail
RELEASES=${RELEASES:-https://github.com/OWNER/uuid-generator/releases/download}
VERSION=${VERSION:-0.2.0}
name=uuid-generator-$VERSION-$(uname -m)-unknown-linux-musl
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for file in "$name.tar.xz" SHA256SUMS; do
    curl --fail --silent --show-error --location --output "$folder/$file" "$RELEASES/v$VERSION/$file"
done
(cd "$folder" && grep -F "  $name.tar.xz" SHA256SUMS | sha256sum --check --strict --quiet)
tar -xJf "$folder/$name.tar.xz" -C "$folder"
"$folder/$name/uuid-generator" check "$@" --report junit=junit.xml --report markdown=summary.md
