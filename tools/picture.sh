#!/bin/sh
# Takes a picture of a page, for README.md: sh tools/picture.sh <page> <picture>
set -eu
page=$1 picture=$2
browser=
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && browser=$name && break
done
if [ -z "$browser" ] || [ ! -f "$page" ]; then
    echo "expected $page and one of chromium, chromium-browser, google-chrome; at least one is missing" >&2
    exit 1
fi
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
address=$(cd "$(dirname "$page")" && pwd)/$(basename "$page")
"$browser" --headless --no-sandbox --disable-gpu --no-first-run --user-data-dir="$profile" --hide-scrollbars \
    --window-size="${SIZE:-1000,880}" --screenshot="$picture" "file://$address" 2>/dev/null
echo "$picture: $(wc -c <"$picture") bytes"
