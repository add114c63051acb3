"""What if: the twin from the live state, with changes and without, side by side.

``question`` reads what is asked, ``ensemble`` runs the twin, ``alarms`` and ``figures`` judge the
trajectories, ``answer`` puts it together; ``ask`` is the one door. See docs/what-if.md.
"""
