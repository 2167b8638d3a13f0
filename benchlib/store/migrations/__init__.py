"""The schema's history; `benchlib.store.migrate` walks along it."""
