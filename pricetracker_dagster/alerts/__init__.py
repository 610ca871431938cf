"""What deserves a message, and how it reaches somebody. Nothing here knows Dagster; time comes in as an argument.

From what is stored to facts: rules.py judges minutes, episodes.py makes alerts of those that are above; missed.py finds
the minutes that are missing, failed_runs.py notes those of ticks that failed, incidents.py makes outages of them;
watch_standstill.py and of_sensors.py see what stands still or fails of the alarms themselves, standstill.py judges it.

From facts to messages: transitions.py finds what is to be told, to whom routing.py says, words.py how; desk.py knows
what people have silenced and acknowledged, desk_book.py writes it down. adopted.py understands what the version before
has told.

From messages to people: notify.py keeps each channel's account, fitting.py parts what is too long, quoting.py and
markup.py make text of what comes from elsewhere, channels.py and attempt.py send it; heartbeat.py tells a watchman.

In which order: watch.py and telling.py look, record and send; recording.py writes messages before facts;
yet_to_come.py puts right what a clock that was ahead has written; unrecorded.py tells what cannot be recorded.
"""
