"""Configuration file of Flower, read by `celery flower --conf`."""

from runtime import settings

_password = settings.load("FLOWER_PASSWORD").flower_password

basic_auth = [f"operator:{_password.reveal() if _password else ''}"]
# Flower could stop workers and revoke tasks; inspecting needs neither
read_only = True
state_save_interval = 60_000  # ms; what is lost when it is killed
max_tasks = 20_000  # about a day of 1,000 runs an hour, and 40 MB
# the id of a task begins with the run's key
tasks_columns = "name,uuid,kwargs,state,received,runtime,worker"
natural_time = False
