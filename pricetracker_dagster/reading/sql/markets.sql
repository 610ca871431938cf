FROM markets
WHERE $market IS NULL OR market = $market OR replace(market, '/', '') = $market
ORDER BY market, volume_24h DESC, metric
