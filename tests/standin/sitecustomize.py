"""Runs at the start of every interpreter that has this folder on its path: shows the stand-in's metadata."""

from neuron_standin.metadata import install

install()
