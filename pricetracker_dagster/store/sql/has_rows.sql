SELECT rows > 0
FROM snapshot
