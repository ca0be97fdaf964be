"""HTTP: parse, limit, call the pipeline, serialise in the caller's dialect."""
