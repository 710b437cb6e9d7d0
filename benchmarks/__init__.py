"""`make bench`: each part is measured beside a named peer in the same run; ratios are what counts."""
