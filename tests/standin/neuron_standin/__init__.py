"""A Neuron host that is none: topology, core ownership, counters, faults, and the tools that show them.

Standard library only, so that the fake tools start quickly; `torch_neuronx` beside it adds torch.
"""
