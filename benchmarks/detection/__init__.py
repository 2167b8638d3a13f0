"""How well changes are detected: our rule and those of other tools on one set of made-up nights."""
