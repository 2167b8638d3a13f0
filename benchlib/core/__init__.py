"""The two jobs of the data plane: compile one program, measure one program."""
