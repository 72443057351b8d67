"""What Kennel is built from: the licences of all that uv.lock has, and whether a known vulnerability is in it."""
