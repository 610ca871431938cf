SELECT epoch(as_of), rows, metrics, schema_version, delta_version, tracked
FROM snapshot, sources
