#!/bin/sh
# Run a test built with ThreadSanitizer, at addresses that are not random where that is allowed:
# older versions do not know the maps of kernels that shuffle with more bits.
if setarch -R true 2>/dev/null; then
    exec setarch -R "$@"
fi
exec "$@"
