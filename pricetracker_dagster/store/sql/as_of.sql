SELECT epoch(as_of)
FROM snapshot
