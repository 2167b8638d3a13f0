"""What the tasks of the DAGs call, and how a local Airflow is run. No Airflow decorators in here."""
