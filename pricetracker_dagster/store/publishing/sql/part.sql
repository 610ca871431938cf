SELECT content
FROM {{database}}.kept_3.parts
WHERE hour IS NOT DISTINCT FROM $hour
