-- One row is the report, after a sleep that exceeds the tool's timeout of 500 ms.
SELECT 'done' AS status
FROM pg_sleep(%(seconds)s)
