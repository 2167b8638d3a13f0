"""Pages and a JSON API over the results' database, inside Airflow's own API server.

guard      who asks, and what Airflow lets them do; the only module that knows Airflow
gate       lets nobody past whom the guard does not know; the headers of every answer
app        puts the parts together
pages      what people see
api        what programs see, documented in docs/openapi.json
asked      the query strings and bodies that both accept
sheets     what a page shows, as tables to download
assets     style, scripts and the chart library, from this machine
"""
