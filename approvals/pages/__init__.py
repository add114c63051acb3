"""Pages of the gate, one file per page.

Every signed-in person may look; the buttons are only for those who may press them.
"""
