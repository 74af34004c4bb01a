"""Files that are complete or not there: atomic writes, manifests with digests, arrays through Orbax."""
