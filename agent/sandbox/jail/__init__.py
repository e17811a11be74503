"""What runs inside the child: standard library and RestrictedPython only."""
