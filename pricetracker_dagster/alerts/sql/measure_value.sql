measure_of({{measure}}, open, close, volume) AS {{name}}
