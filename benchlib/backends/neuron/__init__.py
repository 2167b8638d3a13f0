"""AWS Inferentia2 through torch-neuronx: compile, place, load, watch.

Written for SDK 2.24 to 2.31; what differs between them is found by looking, never by a version number.
"""

from benchlib.backends.neuron.backend import NeuronBackend

__all__ = ["NeuronBackend"]
