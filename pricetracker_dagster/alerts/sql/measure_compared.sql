{
    measure: {{measure}},
    value: max(CASE WHEN minute = $minute::TIMESTAMPTZ AND isfinite({{name}}) THEN {{name}} END),
    average: favg(CASE WHEN minute < $minute::TIMESTAMPTZ AND isfinite({{name}}) THEN abs({{name}}) END),
    points: count(CASE WHEN minute < $minute::TIMESTAMPTZ AND isfinite({{name}}) THEN abs({{name}}) END)
}
