SELECT {{columns}}
FROM {{rows}}
WHERE {{where}}
