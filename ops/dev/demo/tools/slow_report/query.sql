-- one row when the report is done, which it never is within 500 ms
SELECT 'done' AS status
FROM pg_sleep(%(seconds)s)
