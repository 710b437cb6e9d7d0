#!/bin/sh
# Each tests/data/NAME.csv has its column in NAME.column and what should come out in NAME.expected.
failed=0 passed=0
for table in tests/data/*.csv; do
    name=${table%.csv}
    if ./csvcol "$(cat "$name.column")" < "$table" 2>&1 | cmp -s - "$name.expected"; then
        passed=$((passed + 1))
    else
        echo "$name differs"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
