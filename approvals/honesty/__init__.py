"""How people work with the gate, told to them and to nobody else: what they opened before signing,
how long they took, what came of it, and now and then a proposal that is known to be bad.
"""

from approvals.honesty.looks import look_note, opened_s

__all__ = ["look_note", "opened_s"]
