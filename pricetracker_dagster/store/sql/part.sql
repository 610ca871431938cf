SELECT content
FROM {{database}}.kept_2.parts
WHERE hour IS NOT DISTINCT FROM $hour
