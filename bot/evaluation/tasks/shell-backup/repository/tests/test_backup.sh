# Runs in a folder of its own; `is` compares.
set -eu
bin=$PWD/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

is() {
    [ "$1" = "$2" ] || { echo "FAILED: $3: expected '$2', got '$1'"; exit 1; }
}

mkdir photos
echo one > photos/a
is "$("$bin/backup" photos out)" "wrote out/photos-1.tar" "the first backup"
is "$(tar -tf out/photos-1.tar | sort | tr '\n' ' ')" "photos/ photos/a " "what is in it"
is "$("$bin/backup" photos out)" "wrote out/photos-2.tar" "the second"

mkdir "my files"
echo two > "my files/b"
is "$("$bin/backup" "my files" out)" "wrote out/my files-1.tar" "a name with a space"

"$bin/restore" out/photos-1.tar back > said
is "$(cat said)" "restored out/photos-1.tar" "restoring"
is "$(cat back/photos/a)" "one" "the restored file"
echo "6 tests passed"
