"""The digital twin: physics of a site in plain Python and NumPy. No Django.

Every array has a leading *ensemble* axis: shape ``(members, assets)``. One member is the live
state; several are an action beside doing nothing, or draws of uncertain parameters. Values are in
the units of the data list (the unit is in the name: ``inlet_c``, ``power_w``).
"""
